"""Schemas as people read them: a row for each field, with its type in words."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from router.openapi.schemas import NULL, REFERENCE
from router.schema.fields import ONLY_NEUTRAL, UNUSED
from router.schema.responses import Json

SIZES: Final = {"Length": "characters", "Items": "items", "Properties": "entries"}
BIG: Final = 2**16


@dataclass(frozen=True, slots=True)
class Notation:
    """How a page writes the name of a schema, and a literal value."""

    reference: Callable[[str], str]
    literal: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One field; `type` is in the page's notation."""

    name: str
    type: str
    required: bool
    default: str | None  # as JSON
    description: str
    supported: bool


def rows(schema: Json, notation: Notation) -> list[Row]:
    """The fields of an object; of a request's those that are required first, those that are only tolerated last."""
    required = schema.get("required", ())
    fields = schema["properties"].items()
    if not is_request(schema):
        return [_row(name, field, notation, required=name in required) for name, field in fields]
    found = [_row(name, without_null(field), notation, required=name in required) for name, field in fields]
    return sorted(found, key=lambda row: (not row.required, not row.supported, row.description.startswith(UNUSED)))


def is_request(schema: Json) -> bool:
    """Whether it is an object that clients send, where null stands for what is left out."""
    return schema.get("additionalProperties") in (NULL, True)


def without_null(schema: Any) -> Any:
    """The same, not saying that null is the same as nothing."""
    if isinstance(schema, list):
        return [without_null(one) for one in schema if one not in (NULL, None)]
    if not isinstance(schema, dict):
        return schema
    inner = {key: without_null(value) for key, value in schema.items() if value != NULL}
    if len(inner.get("anyOf", ())) == 1:
        inner.update(inner.pop("anyOf")[0])
    return inner


def type_of(schema: Json, notation: Notation) -> str:
    """The type and its bounds, in words."""
    if "$ref" in schema:
        return notation.reference(schema["$ref"].removeprefix(REFERENCE))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")]) or [None]
        return " or ".join(notation.literal(json.dumps(value)) for value in values)
    if "anyOf" in schema:
        return " or ".join(type_of(one, notation) for one in schema["anyOf"])
    bounds = f"matching {notation.literal(schema['pattern'])}" if "pattern" in schema else _bounds(schema)
    kind = ("list" if schema["type"] == "array" else schema["type"]) + (f" ({bounds})" if bounds else "")
    entries = schema.get("items") or next(iter(_entries(schema)), None)
    if entries is None:
        return kind
    inner = type_of(entries, notation)
    return f"{kind} of ({inner})" if " or " in inner else f"{kind} of {inner}"


def _row(name: str, field: Json, notation: Notation, *, required: bool) -> Row:
    description = field.get("description", "")
    return Row(
        name=name,
        type=type_of(field, notation),
        required=required,
        default=json.dumps(field["default"]) if "default" in field else None,
        description=description,
        supported=not description.startswith(ONLY_NEUTRAL),
    )


def _entries(schema: Json) -> list[Json]:
    """The schemas of the entries of an object whose keys are not fixed."""
    others = schema.get("additionalProperties")
    return [*schema.get("patternProperties", {}).values(), *([others] if isinstance(others, dict) else [])]


def _bounds(schema: Json) -> str:
    what = next((what for what in SIZES if any(key.endswith(what) for key in schema)), None)
    if what:
        return _range(schema.get(f"min{what}"), schema.get(f"max{what}"), f" {SIZES[what]}")
    below = schema.get("exclusiveMaximum")
    most = schema.get("maximum") if below is None else below - 1  # only integers are bounded that way
    above = schema.get("exclusiveMinimum")
    if above is not None:
        return f"above {_number(above)}, at most {_number(most)}"
    return _range(schema.get("minimum"), most)


def _range(low: float | None, high: float | None, what: str = "") -> str:
    if low is None and high is None:
        return ""
    if what and low == 1 and high is None:
        return "not empty"
    if low is None or high is None:
        return f"at least {_number(low)}{what}" if high is None else f"at most {_number(high)}{what}"
    return f"{_number(low)} to {_number(high)}{what}"


def _number(value: float | None) -> str:
    """Powers of two as such, where they are large."""
    for beside, told in ((0, ""), (1, " - 1")):
        if isinstance(value, int) and abs(value) >= BIG and (abs(value + beside)).bit_count() == 1:
            return f"{'-' if value < 0 else ''}2^{abs(value + beside).bit_length() - 1}{told}"
    return f"{value:.9g}"  # all digits of a token id
