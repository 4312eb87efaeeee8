"""POST /tokenize and POST /detokenize, in vLLM's form: what they are asked."""

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from router.schema.chat import Messages
from router.schema.fields import Only, Strict, Text, TokenId
from router.schema.prompt import PromptRequest

MAX_TOKENS_OF_A_TEXT: Final = 100_000  # become text in some twenty milliseconds
WHOSE_TOKENIZER: Final = "whose tokenizer; GET /v1/models lists the models; may be left out where there is but one"


class TokenizeRequest(PromptRequest):
    """The body of POST /tokenize: a text, or a conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
                {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
            ],
        }
    )

    model: str | None = Field(None, description=WHOSE_TOKENIZER)
    prompt: Text | None = Field(None, description="a text, as /v1/completions would take it")
    messages: Messages | None = Field(None, description="a conversation, as /v1/chat/completions would take it")
    add_special_tokens: bool | None = Field(
        None,
        description="add those that a prompt begins with; default: true with `prompt`, and false with `messages`, "
        "whose chat template adds its own",
    )
    return_token_strs: bool = Field(False, description="tell each token too, as the vocabulary spells it")
    chat_template_kwargs: Annotated[Any, Only({})] = None
    mm_processor_kwargs: Annotated[Any, Only({})] = None
    tools: Annotated[Any, Only([])] = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "TokenizeRequest":
        if (self.prompt is None) is (self.messages is None):
            raise PydanticCustomError("prompt", "or messages must be given, and not both")
        if self.prompt is not None and self.continue_final_message:
            raise PydanticCustomError("continue_final_message", "is only allowed with messages")
        return self


class DetokenizeRequest(Strict):
    """The body of POST /detokenize."""

    model: str | None = Field(None, description=WHOSE_TOKENIZER)
    tokens: Annotated[list[TokenId], Field(fail_fast=True, max_length=MAX_TOKENS_OF_A_TEXT)] = Field(
        description="token ids"
    )
