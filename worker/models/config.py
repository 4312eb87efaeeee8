"""Reading config.json: what a family needs of it, and what it asks for that no network here does."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

_Config = TypeVar("_Config")

# What `rope_scaling`, or `rope_parameters` of newer files, may say without asking for anything.
_PLAIN_ROPE_TYPES = (None, "default")


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
        scaling = config.get(key)
        if scaling is not None and not _asks_for_nothing(scaling):
            raise UnsupportedModelError(f"config.json: {key} is {scaling!r}; scaled rotations are not supported")
    if config.get("sliding_window") is not None and config.get("use_sliding_window") is not False:
        _refuse(config, "sliding_window", "sliding windows are not supported")
    if config.get("use_sliding_window"):
        _refuse(config, "use_sliding_window", "sliding windows are not supported")
    layer_types = config.get("layer_types")
    if layer_types is not None and (not isinstance(layer_types, list) or {*map(str, layer_types)} - {"full_attention"}):
        _refuse(config, "layer_types", "only 'full_attention' is supported")
    if config.get("partial_rotary_factor") not in (None, 1):
        _refuse(config, "partial_rotary_factor", "only whole heads are rotated")
    if config.get("quantization_config") is not None:
        _refuse(config, "quantization_config", "quantized weights are not supported")


def check_heads(config: Mapping[str, Any], *, hidden: str, heads: str, kv_heads: str) -> None:
    """Raise `UnsupportedModelError` unless the sizes under these keys divide, and `head_dim` is what they give."""
    if config[hidden] % config[heads] or config[heads] % config[kv_heads]:
        raise UnsupportedModelError(f"config.json: {hidden} must divide by {heads}, and {heads} by {kv_heads}")
    head_dim = config[hidden] // config[heads]
    if head_dim % 2:
        raise UnsupportedModelError(f"config.json: {hidden} / {heads} must be even, as pairs of numbers are rotated")


def _asks_for_nothing(scaling: Any) -> bool:
    if not isinstance(scaling, dict):
        return False
    kind = scaling.get("rope_type", scaling.get("type"))
    return kind in _PLAIN_ROPE_TYPES and scaling.get("factor") in (None, 1)


def _refuse(config: Mapping[str, Any], key: str, reason: str) -> None:
    raise UnsupportedModelError(f"config.json: {key} is {config[key]!r}; {reason}")
