"""The tables of the documentation's pages, in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from router.errors import ANSWERS, Answer
from router.openapi.rows import Notation, Row, is_request, rows
from router.openapi.schemas import REFERENCE
from router.schema.fields import ONLY_NEUTRAL
from router.schema.responses import Json

# What an object has in it follows in rows of its own.
NOTATION: Final = Notation(reference=lambda _: "object", literal=lambda value: f"`{value}`".replace("|", r"\|"))


def fields_table(
    schemas: Json, name: str, *, also_of: str | None = None, not_of: str | None = None, tolerated_apart: bool = False
) -> str:
    """The fields of a schema and of all in it; only those that another one has too, or that it has not."""
    shown = list(_flat(schemas, name))
    if also_of:
        others = list(_flat(schemas, also_of))
        shown = [row for row in shown if row in others]
    if not_of:
        others = list(_flat(schemas, not_of))
        shown = [row for row in shown if row not in others]
    if not is_request(schemas[name]):
        return _answer_table(shown)
    return _request_table([row for row in shown if row.supported or not tolerated_apart])


def tolerated_table(schemas: Json) -> str:
    """Return the fields of requests for text that have no effect, with the values that are accepted."""
    chat, completion = (list(_flat(schemas, name)) for name in ("ChatRequest", "CompletionRequest"))
    tolerated = [row for row in (*chat, *(row for row in completion if row not in chat)) if not row.supported]
    lines = ((f"`{row.name}`", _accepted(row), _where(row, chat, completion)) for row in tolerated)
    return _table(("Field", "Accepted", "In requests for"), lines)


def _where(row: Row, chat: Sequence[Row], completion: Sequence[Row]) -> str:
    return "chat" if row not in completion else "completions" if row not in chat else "both"


def _accepted(row: Row) -> str:
    exception = row.description.removeprefix(ONLY_NEUTRAL).removeprefix(": ")
    return exception or row.type


def errors_table() -> str:
    """What can go wrong, in the order of the one table of it."""
    told = (
        (answer.situation, str(answer.status), f"`{answer.type}`", _code(answer), _headers(answer), _grpc(answer))
        for answer in ANSWERS.values()
    )
    return _table(("Situation", "Status", "`type`", "`code`", "Headers", "gRPC status of the worker"), told)


def _flat(schemas: Json, name: str, path: str = "") -> Iterator[Row]:
    schema = schemas[name]
    for row in rows(schema, NOTATION):
        yield replace(row, name=path + row.name)
        for inner, many in _referred(schema["properties"][row.name]):
            yield from _flat(schemas, inner, f"{path}{row.name}{'[]' * many}.")


def _referred(schema: Any, many: int = 0) -> Iterator[tuple[str, int]]:
    """The objects that a field is or holds, and in how many lists they are."""
    if "$ref" in schema:
        yield schema["$ref"].removeprefix(REFERENCE), many
    for alternative in schema.get("anyOf", ()):
        yield from _referred(alternative, many)
    if "items" in schema:
        yield from _referred(schema["items"], many + 1)


def _request_table(shown: Sequence[Row]) -> str:
    supported = [row for row in shown if row.supported]
    told = (
        (f"`{row.name}`", row.type, "required" if row.required else _default(row), row.description) for row in supported
    )
    table = _table(("Field", "Type", "Default", "Meaning"), told)
    tolerated = "; ".join(f"`{row.name}` {row.type}" for row in shown if not row.supported)
    sentence = f"\nNot supported, and accepted only with a value that asks for nothing: {tolerated}.\n"
    return table + sentence if tolerated else table


def _answer_table(shown: Sequence[Row]) -> str:
    told = ((f"`{row.name}`", row.type if row.required else f"{row.type}, sometimes", row.description) for row in shown)
    return _table(("Field", "Type", "Meaning"), told)


def _default(row: Row) -> str:
    return f"`{row.default}`" if row.default else ""


def _code(answer: Answer) -> str:
    return f"`{answer.code}`" if answer.code else "null"


def _headers(answer: Answer) -> str:
    fixed = (name if name == "Retry-After" else f"{name}: {value}" for name, value in answer.headers.items())
    return ", ".join(f"`{header}`" for header in (*fixed, *answer.varying_headers))


def _grpc(answer: Answer) -> str:
    return ", ".join(f"`{status.name}`" for status in answer.grpc_statuses)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    first, *rest = (f"| {' | '.join(cells)} |\n" for cells in (head, *lines))
    return first + "|---" * len(head) + "|\n" + "".join(rest)
