"""POST /v1/chat/completions: what it is asked."""

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import MAX_ENTRIES, UNSUPPORTED, Strict, Text, shorten
from router.schema.generation import GenerationRequest
from router.schema.prompt import PromptRequest
from router.schema.tolerance import ToleratedInChat
from textdiffusion.wire import MAX_TOP_LOGPROBS

# OpenAI's; no special token of the form <|…|> comes in through a name.
SPEAKER_NAME: Final = r"^[^\s<|\\/>]{1,64}$"
ROLES_OF_TOOLS: Final = frozenset({"tool", "function"})
ANY_FIELD: Final = ConfigDict(json_schema_extra={"additionalProperties": True})  # `tolerance.py` drops the others


def _is_speaker(name: str) -> str:
    if not re.fullmatch(SPEAKER_NAME, name):
        raise PydanticCustomError(
            "speaker", "must have 1 to 64 characters, and among them no white space, no <, >, | and no slashes"
        )
    return name


def _is_no_tool(role: Any) -> Any:
    if isinstance(role, str) and role in ROLES_OF_TOOLS:
        raise PydanticCustomError(
            UNSUPPORTED,
            "is {role}, which is not supported by this server: its models know of no tools",
            {"role": json.dumps(role)},
        )
    return role


def _is_text(kind: Any) -> Any:
    if isinstance(kind, str) and kind != "text":
        raise PydanticCustomError(
            UNSUPPORTED,
            'is {kind}, which is not supported by this server; only "text" is accepted',
            {"kind": json.dumps(shorten(kind))},
        )
    return kind


class TextPart(Strict):
    """A part of a message; there are no others than text. Other fields are accepted, and unused."""

    model_config = ANY_FIELD

    type: Annotated[Literal["text"], BeforeValidator(_is_text)]
    text: Text = Field(description="what is said")


def _as_parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise PydanticCustomError("content_type", "must be a string or a list of text parts")
    return content


TextParts = Annotated[list[TextPart], Field(fail_fast=True, min_length=1, max_length=MAX_ENTRIES)]


class Message(Strict):
    """One message of a conversation. Other fields, as in the history that clients send, are accepted, and unused."""

    model_config = ANY_FIELD

    role: Annotated[Literal["system", "developer", "user", "assistant"], BeforeValidator(_is_no_tool)] = Field(
        description="who says it; `developer` is another name for `system`"
    )
    name: (
        Annotated[Text, AfterValidator(_is_speaker), WithJsonSchema({"type": "string", "pattern": SPEAKER_NAME})] | None
    ) = Field(None, description="who of those in the role speaks; the model's chat template decides what becomes of it")
    content: Annotated[TextParts, BeforeValidator(_as_parts, json_schema_input_type=str | TextParts)] = Field(
        description="what is said; parts are joined by line breaks"
    )

    def for_template(self) -> dict[str, str]:
        role = "system" if self.role == "developer" else self.role
        message = {"role": role, "content": "\n".join(part.text for part in self.content)}
        return message if self.name is None else {**message, "name": self.name}


Messages = Annotated[list[Message], Field(fail_fast=True, min_length=1, max_length=MAX_ENTRIES)]


class ChatRequest(ToleratedInChat, GenerationRequest, PromptRequest):
    """The body of POST /v1/chat/completions."""

    messages: Messages = Field(description="the conversation so far; text only")
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="OpenAI's newer name for `max_tokens`"
    )
    logprobs: bool | None = Field(None, description="tell the log probability of each token when it was committed")
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = Field(
        None, description="and this many of the likeliest at its position; only with `logprobs`"
    )

    @model_validator(mode="after")
    def _chat_agrees_with_itself(self) -> "ChatRequest":
        both = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(both) > 1:
            raise PydanticCustomError("max_completion_tokens", "differs from max_tokens; give one of them")
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError("top_logprobs", "is only allowed when logprobs is true")
        return self

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def max_tokens_field(self) -> str:
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    @property
    def reply_length(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
