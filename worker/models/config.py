"""Reading config.json: what a family needs of it, and what it asks for that no network here does."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

_Config = TypeVar("_Config")

# What `rope_scaling`, or `rope_parameters` of newer files, may hold.
_ROPE_KEYS = frozenset({"rope_type", "type", "rope_theta", "factor", "partial_rotary_factor"})

# No network has a size beyond these; to lay one out would take the machine's memory.
Size = Annotated[int, Field(ge=1, lt=2**24)]
Layers = Annotated[int, Field(ge=1, le=10_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class UnsupportedModelError(Exception):
    """A config.json that asks for what this architecture does not do."""


def read_fields(config_class: type[_Config], values: Mapping[str, Any]) -> _Config:
    """Return `values` as a dataclass with pydantic's types. Raises `UnsupportedModelError` naming the key."""
    known = {key: value for key, value in values.items() if key in config_class.__annotations__ and value is not None}
    try:
        return TypeAdapter(config_class).validate_python(known)
    except ValidationError as error:
        first = error.errors()[0]
        raise UnsupportedModelError(f"config.json: {first['loc'][0]}: {first['msg']}") from error


def check_values(config: Mapping[str, Any], only: Mapping[str, Any]) -> None:
    """Raise `UnsupportedModelError` for a key with another value than the one supported; null and absence mean that."""
    for key, value in only.items():
        if config.get(key) not in (None, value):
            raise UnsupportedModelError(f"config.json: {key} is {config[key]!r}; only {value!r} is supported")


def check_nothing_extra(config: Mapping[str, Any]) -> None:
    """Raise `UnsupportedModelError` for what would change the results of any network and is done for none."""
    for key in ("rope_scaling", "rope_parameters"):
        if config.get(key) and not _is_plain_rope(config[key]):
            _refuse(config, key, "scaled or partial rotations are not supported")
    windows = "use_sliding_window" if "use_sliding_window" in config else "sliding_window"
    if config.get(windows):
        _refuse(config, windows, "sliding windows are not supported")
    layer_types = config.get("layer_types") or []
    if not isinstance(layer_types, list) or {*map(str, layer_types)} - {"full_attention"}:
        _refuse(config, "layer_types", "only 'full_attention' is supported")
    if config.get("partial_rotary_factor") not in (None, 1):
        _refuse(config, "partial_rotary_factor", "only whole heads are rotated")
    if config.get("quantization_config"):
        _refuse(config, "quantization_config", "quantized weights are not supported")


def rope_theta(config: Mapping[str, Any]) -> Any:
    """Return what config.json says, where newer files have it too. Raises `UnsupportedModelError` if both differ."""
    parameters = config.get("rope_parameters")
    newer = parameters.get("rope_theta") if isinstance(parameters, dict) else None
    own = config.get("rope_theta")
    if None not in (newer, own) and newer != own:
        raise UnsupportedModelError(f"config.json: rope_theta is {own!r}, and {newer!r} in rope_parameters")
    return newer if own is None else own


def check_heads(parsed: object, hidden: str, heads: str, kv_heads: str) -> None:
    """Raise `UnsupportedModelError` unless the sizes under these names make heads whose numbers can be paired."""
    width, count, kv_count = (getattr(parsed, name) for name in (hidden, heads, kv_heads))
    if width % count or count % kv_count:
        raise UnsupportedModelError(f"config.json: {hidden} must divide by {heads}, and {heads} by {kv_heads}")
    if width // count % 2:
        raise UnsupportedModelError(f"config.json: {hidden} / {heads} must be even, as pairs of numbers are rotated")


def _is_plain_rope(rope: Any) -> bool:
    """Return True for what only says the base of the angles, or scales them by 1."""
    if not isinstance(rope, dict) or rope.keys() - _ROPE_KEYS:
        return False
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    plain = kind in (None, "default") or (kind in ("linear", "dynamic") and factor == 1)
    return plain and factor in (None, 1) and rope.get("partial_rotary_factor") in (None, 1)


def _refuse(config: Mapping[str, Any], key: str, reason: str) -> None:
    raise UnsupportedModelError(f"config.json: {key} is {config[key]!r}; {reason}")
