"""The kinds of values that requests are made of.

Strict on purpose: a field that would be ignored is refused by name, so that nobody believes it had an effect. What is
let through all the same stands in `tolerance.py`.
"""

import json
import re
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from textdiffusion.generation_options import MAX_BIAS, MAX_LOGIT_BIASES

UNSUPPORTED: Final = "unsupported_parameter"

# A body of a few megabytes can be wrong in a hundred thousand places; finding them all would hold up the event loop.
MAX_ENTRIES: Final = 4096  # of one list or object
MAX_NAME_CHARACTERS: Final = 64  # of a name that is told back
MAX_CHOICES: Final = 128  # of one request
MAX_STOPS: Final = 16
MAX_STOP_CHARACTERS: Final = 1024
TOKEN_IDS: Final = 10**9  # more than any vocabulary has, and what BIAS_KEY can spell
BIAS_KEY: Final = "^(0|[1-9][0-9]{0,8})$"  # each token in one way
UNUSED: Final = "accepted, unused"
ONLY_NEUTRAL: Final = "not supported; accepted with what asks for nothing"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError("lone_surrogate", "holds half of a surrogate pair, which is not text") from error
    return text


def shorten(name: int | str) -> str:
    """Return a name that a client gave, so that it can stand in a message."""
    whole = str(name)
    return whole if len(whole) <= MAX_NAME_CHARACTERS else f"{whole[:MAX_NAME_CHARACTERS]}…"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def is_token_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < TOKEN_IDS


def are_token_ids(value: Any) -> bool:
    """Whether it is a list of them, which may be tens of thousands long."""
    if not isinstance(value, list) or not {int}.issuperset(map(type, value)):
        return False
    return not value or (min(value) >= 0 and max(value) < TOKEN_IDS)


def _biases(given: Any) -> dict[int, float]:
    if not isinstance(given, dict):
        raise PydanticCustomError("bias_type", "must be an object of token ids and biases")
    if len(given) > MAX_LOGIT_BIASES:
        raise PydanticCustomError("biases", f"must not name more than {MAX_LOGIT_BIASES} tokens")
    for key, bias in given.items():
        if not re.fullmatch(BIAS_KEY, key):
            raise PydanticCustomError("bias_key", ": key {key} is not a token id", {"key": repr(shorten(key))})
        if type(bias) not in (int, float) or not -MAX_BIAS <= bias <= MAX_BIAS:
            raise PydanticCustomError(
                "bias",
                f": {{bias}}, the bias of token {key}, is not a number from {-MAX_BIAS:g} to {MAX_BIAS:g}",
                {"bias": _in_json(bias)},
            )
    return {int(key): float(bias) for key, bias in given.items()}


def _in_json(value: Any) -> str:
    """Return a value as the client wrote it, unless it is long: then it is looked at no further than needed."""
    return shorten(json.dumps(value)) if isinstance(value, (bool, int, float, str)) else "a list or an object"


Text = Annotated[str, AfterValidator(encodable)]
TokenId = Annotated[int, Field(ge=0, lt=TOKEN_IDS)]
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
ListOfStops = Annotated[list[Stop], Field(max_length=MAX_STOPS)]
Stops = Annotated[ListOfStops, BeforeValidator(_as_list, json_schema_input_type=Stop | ListOfStops)]
LogitBias = Annotated[
    dict[int, float],
    PlainValidator(_biases),
    WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {BIAS_KEY: {"type": "number", "minimum": -MAX_BIAS, "maximum": MAX_BIAS}},
            "additionalProperties": False,
            "maxProperties": MAX_LOGIT_BIASES,
        }
    ),
]


class Only:
    """Marks a field that this server does not have, which may still be given a value that asks for nothing.

    `unless` names the case, which is up to the class of the field, in which it is accepted with any list.
    """

    def __init__(self, *neutral: Any, unless: str = "") -> None:
        self._neutral = neutral
        self._unless = unless

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        del schema, handler
        if self._unless:
            return {"type": "array", "description": f"{ONLY_NEUTRAL}: an empty list, or any where {self._unless}"}
        return {"enum": list(self._neutral), "description": ONLY_NEUTRAL}

    def _check(self, value: Any) -> Any:
        if any(_same(value, one) for one in self._neutral):
            return value
        allowed = [json.dumps(one) for one in self._neutral]
        case = f", unless {self._unless.replace('`', '')}" if self._unless else ""
        accepted = f"; only {' or '.join(allowed)} is accepted{case}" if allowed else ""
        raise PydanticCustomError(UNSUPPORTED, "is not supported by this server{accepted}", {"accepted": accepted})


def _same(value: Any, neutral: Any) -> bool:
    """Equal, and not just because Python takes true for 1."""
    return isinstance(value, bool) is isinstance(neutral, bool) and bool(value == neutral)
