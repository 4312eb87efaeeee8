"""The schemas of the document, made from the classes that bodies are checked by and answers are typed with."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from router.schema.responses import Json

REFERENCE = "#/components/schemas/"
NULL: Json = {"type": "null"}

# A request class, by which a body is validated, or the TypedDict of an answer.
Kind = type[Any]


class Untitled(GenerateJsonSchema):
    """Titles would only repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def components(requests: Iterator[Kind], answers: Iterator[Kind]) -> dict[str, Json]:
    """Each of these classes and all that they refer to, by name."""
    wanted = [*_inputs(requests, "validation"), *_inputs(answers, "serialization")]
    _, made = TypeAdapter.json_schemas(wanted, ref_template=f"{REFERENCE}{{model}}", schema_generator=Untitled)
    return {name: _component(schema) for name, schema in sorted(made["$defs"].items())}


def reference(kind: Kind) -> Json:
    return {"$ref": REFERENCE + kind.__name__}


def _inputs(
    kinds: Iterator[Kind], mode: Literal["validation", "serialization"]
) -> Iterator[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]]:
    for kind in kinds:
        yield kind.__name__, mode, TypeAdapter(kind)


def _component(schema: Json) -> Json:
    untitled = {key: value for key, value in schema.items() if key != "title"}
    return _with_nulls(untitled) if "additionalProperties" in schema else untitled


def _with_nulls(schema: Json) -> Json:
    """A request's object as it really is: null stands for what is left out, in whatever field."""
    required = schema.get("required", ())
    properties = {name: field if name in required else _or_null(field) for name, field in schema["properties"].items()}
    return {**schema, "properties": properties, "additionalProperties": schema["additionalProperties"] or NULL}


def _or_null(field: Json) -> Json:
    about = {key: field[key] for key in ("description", "default") if field.get(key) is not None}
    value = {key: inner for key, inner in field.items() if key not in ("description", "default")}
    if "enum" in value:
        return {"enum": [*value["enum"], None], **about}
    alternatives = [one for one in value.get("anyOf", [value]) if one != NULL]
    return {"anyOf": [*map(_with_null_entries, alternatives), NULL], **about}


def _with_null_entries(value: Json) -> Json:
    """An object of whatever names, null for the entries that are left out."""
    if value.get("type") != "object":
        return value
    named = {pattern: {"anyOf": [entry, NULL]} for pattern, entry in value.get("patternProperties", {}).items()}
    others = value.get("additionalProperties")
    either = {"anyOf": [others, NULL]} if isinstance(others, dict) else others or NULL
    return {**value, **({"patternProperties": named} if named else {}), "additionalProperties": either}
