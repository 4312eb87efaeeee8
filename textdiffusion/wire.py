"""What router and worker have to agree on: how options look on the wire, and in which words a request is refused."""

import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from textdiffusion.generation_options import OPTIONS, Option
from textdiffusion.v1 import textdiffusion_pb2 as pb

# Clients look for these words of OpenAI's, to shorten the conversation or to turn to a model that holds more.
CONTEXT_LENGTH: Final = "This model's maximum context length is"
MAX_TOP_LOGPROBS: Final = 20  # what a request may ask for at the most, of a router and of a worker


def write_options(options: Mapping[str, Any]) -> pb.DiffusionOptions:
    """Return options as a worker is sent them; one that is None stays absent."""
    message = pb.DiffusionOptions()
    for name, value in options.items():
        field = _field(OPTIONS[name])
        if value is None:
            continue
        if isinstance(value, Mapping):
            getattr(message, field.name).update(value)
        elif field.is_repeated:
            getattr(message, field.name).extend(value)
        else:
            setattr(message, field.name, _number(field.enum_type, value) if field.enum_type else value)
    return message


def read_options(message: pb.DiffusionOptions) -> dict[str, Any]:
    """Return the options that are given; a choice that no option has by its name on the wire, else as a number."""
    told = {field.name: (field, value) for field, value in message.ListFields()}
    return {name: _value(*told[option.wire_name]) for name, option in OPTIONS.items() if option.wire_name in told}


def in_plain_words(message: str) -> str:
    """Return what pydantic says of a value so that it can follow the name of a field."""
    plain = re.sub(r"\b(Input|String|List|Dictionary) should", "must", message)
    return plain.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def context_length_exceeded(tokens: int, however: str) -> str:
    """Return the sentences by which a request that is too long is refused, OpenAI's first."""
    return f"{CONTEXT_LENGTH} {tokens} tokens. However, {however}"


def _field(option: Option) -> FieldDescriptor:
    return pb.DiffusionOptions.DESCRIPTOR.fields_by_name[option.wire_name]


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type:
        named = field.enum_type.values_by_number.get(value)
        return named.name.removeprefix(_prefix(field.enum_type)).lower() if named else value
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if field.is_repeated else value


def _number(enum: EnumDescriptor, name: str) -> int:
    number: int = enum.values_by_name[_prefix(enum) + name.upper()].number
    return number


def _prefix(enum: EnumDescriptor) -> str:
    """Return what the names of all its values begin with, as protobuf would have it."""
    return enum.values[0].name.removesuffix("UNSPECIFIED")
