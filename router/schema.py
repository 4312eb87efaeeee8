"""What a chat request may say, and in which words it is refused.

Strict on purpose: a field that would be ignored is refused by name, so that nobody believes it had an effect.
"""

import difflib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from router.errors import InvalidJsonError, InvalidValueError, RouterError, UnsupportedParameterError
from textdiffusion.settings import KvCache, Remasking

UNSUPPORTED: Final = "unsupported_parameter"

# A body of a few megabytes can be wrong in a hundred thousand places; finding them all would hold up the event loop.
MAX_ENTRIES: Final = 4096  # of one list or object
MAX_NAME_CHARACTERS: Final = 64  # of a name that is told back

# Fields that clients of OpenAI's API, and of other servers of diffusion models, know and this server does not have.
UNSUPPORTED_FIELDS: Final = frozenset(
    {
        # of OpenAI's requests
        "audio",
        "echo",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "min_p",
        "modalities",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "service_tier",
        "stop",
        "suffix",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        "web_search_options",
        # of OpenAI's messages
        "name",
        "refusal",
        "tool_call_id",
        "tool_calls",
        # of diffusion
        "diffusing",
    }
)

SENTENCES: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "too_long": f"must not hold more than {MAX_ENTRIES} items",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def _one_choice(value: int) -> int:
    if value != 1:
        raise PydanticCustomError(UNSUPPORTED, "must be 1; more choices are not supported")
    return value


def _as_parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise PydanticCustomError("content_type", "must be a string or a list of text parts")
    return content


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError("lone_surrogate", "holds half of a surrogate pair, which is not text") from error
    return text


def _unsigned(seed: int) -> int:
    return seed % 2**64


Count = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64), AfterValidator(_unsigned)]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class TextPart(Strict):
    type: Literal["text"]
    text: Annotated[str, AfterValidator(_encodable)]


class Message(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        list[TextPart], FailFast(), Field(min_length=1, max_length=MAX_ENTRIES), BeforeValidator(_as_parts)
    ]

    def for_template(self) -> dict[str, str]:
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "\n".join(part.text for part in self.content)}


class StreamOptions(Strict):
    include_usage: bool = False


class ChatRequest(Strict):
    """The body of POST /v1/chat/completions."""

    model: str
    messages: Annotated[list[Message], FailFast(), Field(min_length=1, max_length=MAX_ENTRIES)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1), AfterValidator(_one_choice)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    seed: Seed | None = None

    # Accepted and unused: they say nothing about the reply.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    conversation_id: str | None = None

    # How the reply is denoised.
    steps: Count | None = None
    block_length: Count | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    factor: Annotated[float, Field(ge=0, le=1000)] | None = None
    max_parallel_tokens: Count | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=1000)] | None = None
    remasking: Remasking | None = None
    kv_cache: KvCache | None = None
    use_cache: bool | None = None  # with use_dual_cache, Fast-dLLM's way to say kv_cache
    use_dual_cache: bool | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    ignore_eos: bool = False

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "ChatRequest":
        both = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(both) > 1:
            raise PydanticCustomError("max_completion_tokens", "differs from max_tokens; give one of them")
        if self.stream_options and not self.stream:
            raise PydanticCustomError("stream_options", "is only allowed when stream is true")
        if self.threshold is not None and self.factor is not None:
            raise PydanticCustomError("factor", "and threshold exclude each other; give one of them")
        if self.use_dual_cache and self.use_cache is False:
            raise PydanticCustomError("use_dual_cache", "needs use_cache")
        if self.kv_cache is not None and self.kv_cache not in self._caches_by_flags:
            raise PydanticCustomError("kv_cache", "contradicts use_cache or use_dual_cache")
        return self

    @property
    def cache(self) -> KvCache | None:
        """The kv_cache that is asked for, in whichever way."""
        if self.kv_cache is None and (self.use_cache, self.use_dual_cache) == (None, None):
            return None
        return self.kv_cache or self._caches_by_flags[0]

    @property
    def _caches_by_flags(self) -> list[KvCache]:
        """Those that Fast-dLLM's flags leave, what they mean there first."""
        left: list[KvCache] = ["prefix", "dual", "none"]
        if self.use_cache is not None:
            left = [cache for cache in left if (cache != "none") is self.use_cache]
        if self.use_dual_cache is not None:
            left = [cache for cache in left if (cache == "dual") is self.use_dual_cache]
        return left

    @property
    def max_tokens_field(self) -> str:
        """The name under which this request says how long the reply may be."""
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    @property
    def reply_length(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def parse_chat_request(body: bytes) -> ChatRequest:
    """Raises a `ClientError` that names the first field at fault."""
    try:
        fields = _without_nulls(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise InvalidJsonError(f"The request body is not valid JSON: {_json_problem(error)}.") from error
    if not isinstance(fields, dict):
        raise InvalidJsonError("The request body must be a JSON object.")
    try:
        return ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_context=False)[0]) from error


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


def _refusal(problem: ErrorDetails) -> RouterError:
    location, kind = problem["loc"], problem["type"]
    if kind == "string_unicode":  # of a key
        return InvalidJsonError("The request body names a field in half of a surrogate pair, which is not text.")
    if not location:  # a rule that spans fields is named after the one at fault
        return InvalidValueError(f"{kind} {problem['msg']}.", param=kind)
    param = _path(location)
    if kind == "extra_forbidden":
        name = _shown(location[-1])
        if name in UNSUPPORTED_FIELDS:
            return UnsupportedParameterError(f"{param} is not supported by this server.", param=param)
        return InvalidValueError(f"{param} is not a known field.{_nearest(name, location)}", param=param)
    if kind == UNSUPPORTED:
        return UnsupportedParameterError(f"{param} {problem['msg']}.", param=param)
    sentence = SENTENCES.get(kind) or _in_plain_words(problem["msg"])
    return InvalidValueError(f"{param} {sentence}.", param=param)


def _in_plain_words(message: str) -> str:
    plain = message.replace("Input should", "must")
    return plain.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{_shown(key)}" for key in location).lstrip(".")


def _shown(name: int | str) -> str:
    whole = str(name)
    return whole if len(whole) <= MAX_NAME_CHARACTERS else f"{whole[:MAX_NAME_CHARACTERS]}…"


def _nearest(name: str, location: tuple[int | str, ...]) -> str:
    sections: dict[str, type[Strict]] = {"messages": Message, "content": TextPart, "stream_options": StreamOptions}
    names = [key for key in location[:-1] if isinstance(key, str)]
    section = sections.get(names[-1], ChatRequest) if names else ChatRequest
    near = difflib.get_close_matches(name, section.model_fields, n=1)
    return f" Did you mean {near[0]}?" if near else ""
