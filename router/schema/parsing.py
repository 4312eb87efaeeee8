"""From a body to a request, or to a sentence that says what is wrong with it."""

import asyncio
import difflib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import structlog
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from router.errors import InvalidJsonError, InvalidValueError, RouterError, UnsupportedParameterError
from router.schema.chat import Message, TextPart
from router.schema.fields import MAX_ENTRIES, UNSUPPORTED, Strict, shorten
from router.schema.generation import StreamOptions
from router.schema.tolerance import CALLS, drop_history_fields, supported_fields
from textdiffusion.wire import in_plain_words

log = structlog.get_logger(__name__)

Body = TypeVar("Body", bound=Strict)

INLINE_BYTES: Final = 64 * 1024  # parsed on the event loop in about a millisecond

# Other names for the same, in the functions of LLaDA and Fast-dLLM and in other libraries.
ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {"gen_length": "max_tokens", "max_new_tokens": "max_tokens", "guidance_scale": "cfg_scale", "stop_token": "stop"}
)
SECTIONS: Final[Mapping[str, type[Strict]]] = MappingProxyType(
    {"messages": Message, "content": TextPart, "stream_options": StreamOptions}
)
SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "is required",
        "string_type": "must be a string",
        "string_too_short": "must not be empty",
        "string_too_long": "must not be longer than {max_length} characters",
        "int_type": "must be an integer",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "list_type": "must be a list",
        "too_short": "must not be empty",
        "too_long": "must not hold more than {max_length} items",
        "dict_type": "must be an object",
        "model_type": "must be an object",
        "model_attributes_type": "must be an object",
    }
)


async def parse_body(kind: type[Body], body: bytes) -> Body:
    """Does what `parse` does, and a large body does not hold up the event loop."""
    return parse(kind, body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(parse, kind, body)


def parse(kind: type[Body], body: bytes) -> Body:
    """Raises a `ClientError` that names the first field at fault."""
    try:
        given = json.loads(_decoded(body), parse_float=_number)
        fields = _without_nulls(_without_history(kind, given))
    except (ValueError, RecursionError) as error:
        raise InvalidJsonError(f"The request body is not valid JSON: {_json_problem(error)}.") from error
    if not isinstance(fields, dict):
        raise InvalidJsonError("The request body must be a JSON object.")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _refusal(kind, error.errors(include_url=False)[0], given) from error


def _without_history(kind: type[Strict], given: Any) -> Any:
    """Drop what comes back with messages and is not read, before anything looks into it."""
    messages = given.get("messages") if isinstance(given, dict) and "messages" in kind.model_fields else None
    if not isinstance(messages, list):
        return given
    messages, dropped = drop_history_fields(messages)
    if dropped:
        log.debug("fields of messages are not used", fields=sorted(map(shorten, dropped)))
    return {**given, "messages": messages}


def _decoded(body: bytes) -> str:
    """JSON is UTF-8; given bytes, `json.loads` would take UTF-16 and UTF-32 too. A byte order mark is let through."""
    return body.decode("utf-8-sig")


def _number(text: str) -> float:
    """JSON has one kind of number: 5.0 is an integer, wherever 5 is."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _json_problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it holds a number that is too long"


def _without_nulls(value: Any) -> Any:
    """Clients send null for what they leave out."""
    if isinstance(value, dict):
        if len(value) > MAX_ENTRIES:
            raise InvalidValueError(f"The request body holds an object with more than {MAX_ENTRIES} fields.")
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _refusal(kind: type[Strict], problem: ErrorDetails, given: Any) -> RouterError:
    rule, context = problem["type"], problem.get("ctx", {})
    location = (*problem["loc"], *context.get("at", ()))
    if rule == "string_unicode":  # of a key
        return InvalidJsonError("The request body names a field in half of a surrogate pair, which is not text.")
    if not location:  # a rule that spans fields is named after the one at fault
        return InvalidValueError(f"{rule} {problem['msg']}.", param=rule)
    param = _path(_as_written(location, given))
    if rule == "extra_forbidden":
        return _unknown(kind, param, location)
    sentence = SENTENCES[rule].format(**context) if rule in SENTENCES else in_plain_words(problem["msg"])
    message = f"{param}{sentence}." if sentence.startswith(":") else f"{param} {sentence}."
    error = UnsupportedParameterError if rule == UNSUPPORTED else InvalidValueError
    return error(message, param=param)


def _as_written(location: tuple[int | str, ...], given: Any) -> tuple[int | str, ...]:
    """Return the part of a location that is in the body: a text may stand for a list of one, but is none."""
    for depth, key in enumerate(location):
        if isinstance(given, str):
            return location[:depth]
        within = isinstance(given, list) and isinstance(key, int) and key < len(given)
        given = given[key] if within else given.get(key) if isinstance(given, dict) else None
    return location


def _unknown(kind: type[Strict], param: str, location: tuple[int | str, ...]) -> RouterError:
    name = shorten(location[-1])
    if name in CALLS and location[0] == "messages":  # all that a message consists of; see `drop_history_fields`
        sentence = f"{param} is not supported by this server, and the message has no other content."
        return UnsupportedParameterError(sentence, param=param)
    outer = [key for key in location[:-1] if isinstance(key, str)]
    section = SECTIONS.get(outer[-1], kind) if outer else kind
    elsewhere = {ELSEWHERE[name]} if name in ELSEWHERE else set()
    near = [*elsewhere, *difflib.get_close_matches(name, supported_fields(section), n=1)]
    hint = f" Did you mean {near[0]}?" if near else ""
    return InvalidValueError(f"{param} is not a known field.{hint}", param=param)


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{shorten(key)}" for key in location).lstrip(".")
