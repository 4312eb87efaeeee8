"""POST /v1/chat/completions: what it is asked."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import MAX_ENTRIES, Only, Strict, Text
from router.schema.generation import GenerationRequest
from router.schema.prompt import PromptRequest
from textdiffusion.wire import MAX_TOP_LOGPROBS


class TextPart(Strict):
    """A part of a message; there are no others than text."""

    type: Literal["text"]
    text: Text = Field(description="what is said")


def _as_parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise PydanticCustomError("content_type", "must be a string or a list of text parts")
    return content


TextParts = Annotated[list[TextPart], Field(fail_fast=True, min_length=1, max_length=MAX_ENTRIES)]


class Message(Strict):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="who says it; `developer` is another name for `system`"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        None, description="who of those in the role speaks; the model's chat template decides what becomes of it"
    )
    tool_calls: Annotated[Any, Only([])] = None
    annotations: Annotated[Any, Only([])] = None
    content: Annotated[TextParts, BeforeValidator(_as_parts, json_schema_input_type=str | TextParts)] = Field(
        description="what is said; parts are joined by line breaks"
    )

    def for_template(self) -> dict[str, str]:
        role = "system" if self.role == "developer" else self.role
        message = {"role": role, "content": "\n".join(part.text for part in self.content)}
        return message if self.name is None else {**message, "name": self.name}


Messages = Annotated[list[Message], Field(fail_fast=True, min_length=1, max_length=MAX_ENTRIES)]


class ChatRequest(GenerationRequest, PromptRequest):
    """The body of POST /v1/chat/completions."""

    messages: Messages = Field(description="the conversation so far; text only")
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="OpenAI's newer name for `max_tokens`"
    )
    logprobs: bool | None = Field(None, description="tell the log probability of each token when it was committed")
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = Field(
        None, description="and this many of the likeliest at its position; only with `logprobs`"
    )

    response_format: Annotated[Any, Only({"type": "text"})] = None
    tools: Annotated[Any, Only([])] = None
    tool_choice: Annotated[Any, Only("none", "auto")] = None
    parallel_tool_calls: Annotated[Any, Only(True, False)] = None
    functions: Annotated[Any, Only([])] = None
    function_call: Annotated[Any, Only("none", "auto")] = None
    modalities: Annotated[Any, Only(["text"])] = None
    verbosity: Annotated[Any, Only("medium")] = None

    @model_validator(mode="after")
    def _chat_agrees_with_itself(self) -> "ChatRequest":
        both = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(both) > 1:
            raise PydanticCustomError("max_completion_tokens", "differs from max_tokens; give one of them")
        if self.top_logprobs is not None and not self.logprobs:
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
