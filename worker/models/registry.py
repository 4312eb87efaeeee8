"""The families that can be served, found by what a config.json says of itself."""

from collections.abc import Mapping
from typing import Any, Final

from worker.models.config import UnsupportedModelError
from worker.models.illada import ILLADA
from worker.models.llada import LLADA
from worker.models.spec import Family

FAMILIES: Final[tuple[Family, ...]] = (LLADA, ILLADA)


def find_family(config: Mapping[str, Any]) -> Family:
    """Return the family of a model, by `architectures` and, where they are not given, by `model_type`.

    Raises `UnsupportedModelError`, also for an unknown architecture with a known type: others call themselves "llada"
    whose networks are not LLaDA's.
    """
    architectures, model_type = config.get("architectures"), config.get("model_type")
    if architectures:
        named = architectures if isinstance(architectures, list) else [architectures]
        known = {name: family for family in FAMILIES for name in family.architectures}
        found = next((family for name, family in known.items() if [name] == named), None)
        if found is None:
            raise UnsupportedModelError(
                f"config.json: architectures is {architectures!r}; {_listed(known)} are supported"
            )
        if model_type not in (None, found.model_type):
            raise UnsupportedModelError(
                f"config.json: model_type is {model_type!r}, which contradicts architectures, {architectures!r}"
            )
        return found
    by_type = {family.model_type: family for family in FAMILIES}
    if not isinstance(model_type, str) or model_type not in by_type:
        raise UnsupportedModelError(f"config.json: model_type is {model_type!r}; {_listed(by_type)} are supported")
    return by_type[model_type]


def _listed(names: Mapping[str, Family]) -> str:
    return ", ".join(map(repr, sorted(names)))
