"""POST /tokenize and POST /detokenize, in vLLM's form: what they are asked."""

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from router.schema.chat import Messages
from router.schema.fields import Only, Strict, Text, TokenId

MAX_TOKENS_OF_A_TEXT: Final = 100_000  # become text in some twenty milliseconds


class TokenizeRequest(Strict):
    """The body of POST /tokenize: a text, or a conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
                {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
            ],
            "not": {
                "required": ["messages", "add_special_tokens"],
                "properties": {"messages": {"type": "array"}, "add_special_tokens": {"type": "boolean"}},
            },
        }
    )

    model: str = Field(description="whose tokenizer; GET /v1/models lists the models")
    prompt: Text | None = Field(None, description="a text, as /v1/completions would take it")
    messages: Messages | None = Field(None, description="a conversation, as /v1/chat/completions would take it")
    add_special_tokens: bool = Field(True, description="those that a prompt begins with; only with `prompt`")
    add_generation_prompt: Annotated[Any, Only(True)] = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "TokenizeRequest":
        if (self.prompt is None) is (self.messages is None):
            raise PydanticCustomError("prompt", "or messages must be given, and not both")
        if self.messages is not None and "add_special_tokens" in self.model_fields_set:
            raise PydanticCustomError(
                "add_special_tokens", "is only allowed with prompt: of messages the chat template decides"
            )
        return self


class DetokenizeRequest(Strict):
    """The body of POST /detokenize."""

    model: str = Field(description="whose tokenizer")
    tokens: Annotated[list[TokenId], Field(fail_fast=True, max_length=MAX_TOKENS_OF_A_TEXT)] = Field(
        description="token ids"
    )
