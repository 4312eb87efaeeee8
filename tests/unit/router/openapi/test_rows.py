from typing import Any

import pytest

from router.openapi.rows import Notation, rows, type_of, without_null

PLAIN = Notation(reference=lambda name: f"<{name}>", literal=lambda value: f"`{value}`")
STRING, NULL = {"type": "string"}, {"type": "null"}
X = {"$ref": "#/components/schemas/X"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "boolean"}, "boolean"),
        ({"type": "integer", "minimum": 1, "maximum": 128}, "integer (1 to 128)"),
        ({"type": "integer", "minimum": 1}, "integer (at least 1)"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 10**9}, "integer (0 to 999999999)"),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 2**31}, "integer (1 to 2^31 - 1)"),
        ({"type": "integer", "minimum": -(2**63), "exclusiveMaximum": 2**64}, "integer (-2^63 to 2^64 - 1)"),
        ({"type": "integer", "minimum": 1, "maximum": 100_000}, "integer (1 to 100000)"),
        ({"type": "number", "minimum": 0, "maximum": 2}, "number (0 to 2)"),
        ({"type": "number", "minimum": 0.5, "maximum": 2}, "number (0.5 to 2)"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number (above 0, at most 1)"),
        ({**STRING, "minLength": 1, "maxLength": 9}, "string (1 to 9 characters)"),
        ({**STRING, "minLength": 1}, "string (not empty)"),
        ({**STRING, "pattern": "^[a-z]+$"}, "string (matching `^[a-z]+$`)"),
        ({"type": "array", "items": STRING}, "list of string"),
        ({"type": "array", "items": X, "maxItems": 4}, "list (at most 4 items) of <X>"),
        ({"type": "array", "items": {"anyOf": [STRING, NULL]}}, "list of (string or null)"),
        ({"type": "object", "additionalProperties": STRING}, "object of string"),
        ({"type": "object", "patternProperties": {"^a": STRING}, "additionalProperties": False}, "object of string"),
        ({"anyOf": [X, NULL]}, "<X> or null"),
        ({"const": "a"}, '`"a"`'),
        ({"enum": ["a", 0, []]}, '`"a"` or `0` or `[]`'),
    ],
)
def test_a_type_is_told_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema, PLAIN) == words


@pytest.mark.parametrize(
    ("schema", "without"),
    [
        ({"anyOf": [STRING, NULL], "description": "x"}, {**STRING, "description": "x"}),
        ({"anyOf": [STRING, X, NULL]}, {"anyOf": [STRING, X]}),
        ({"enum": [0, False, None]}, {"enum": [0, False]}),
        ({"type": "object", "additionalProperties": NULL}, {"type": "object"}),
        ({"additionalProperties": {"anyOf": [STRING, NULL]}}, {"additionalProperties": STRING}),
    ],
)
def test_null_can_be_left_unsaid(schema: dict[str, Any], without: dict[str, Any]) -> None:
    assert without_null(schema) == without


def test_the_fields_of_a_request_are_told_in_the_order_of_their_worth() -> None:
    request = {
        "properties": {
            "tolerated": {"enum": [0, None], "description": "not supported; accepted with what asks for nothing"},
            "unused": {"anyOf": [STRING, NULL], "description": "accepted, unused"},
            "optional": {"anyOf": [STRING, NULL], "default": "x", "description": "what it means"},
            "needed": STRING,
        },
        "required": ["needed"],
        "additionalProperties": NULL,
    }
    told = rows(request, PLAIN)
    assert [row.name for row in told] == ["needed", "optional", "unused", "tolerated"]
    assert [row.required for row in told] == [True, False, False, False]
    assert [row.supported for row in told] == [True, True, True, False]
    assert [row.default for row in told] == [None, '"x"', None, None]
    assert [row.type for row in told] == ["string", "string", "string", "`0`"]


def test_the_fields_of_an_answer_stay_in_their_order_and_tell_of_null() -> None:
    answer = {"properties": {"b": {"anyOf": [STRING, NULL]}, "a": STRING}, "required": ["a"]}
    assert [(row.name, row.type, row.required) for row in rows(answer, PLAIN)] == [
        ("b", "string or null", False),
        ("a", "string", True),
    ]
