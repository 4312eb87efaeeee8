"""POST /v1/completions: what it is asked."""

from typing import Annotated, Any

from pydantic import Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import MAX_CHOICES, Text, TokenId, are_token_ids, encodable
from router.schema.generation import GenerationRequest
from textdiffusion.wire import MAX_TOP_LOGPROBS

Prompt = str | list[int]
PromptAsGiven = (
    str
    | Annotated[list[TokenId], Field(min_length=1)]
    | Annotated[list[str | list[TokenId]], Field(min_length=1, max_length=MAX_CHOICES)]
)


def _as_prompts(given: Any) -> list[Prompt]:
    prompts = [given] if isinstance(given, str) or (given and are_token_ids(given)) else given
    if isinstance(prompts, list) and len(prompts) > MAX_CHOICES:  # they are not looked into
        raise PydanticCustomError("prompts", f"must be token ids, all of them, or not more than {MAX_CHOICES} prompts")
    if not isinstance(prompts, list) or not all(isinstance(one, str) or are_token_ids(one) for one in prompts):
        raise PydanticCustomError(
            "prompt_type", "must be a string, a list of strings, a list of token ids, or a list of such lists"
        )
    if not prompts:
        raise PydanticCustomError("prompt_empty", "must not be empty")
    return [encodable(one) if isinstance(one, str) else one for one in prompts]


class CompletionRequest(GenerationRequest):
    """The body of POST /v1/completions."""

    prompt: Annotated[list[Prompt], PlainValidator(_as_prompts, json_schema_input_type=PromptAsGiven)] = Field(
        description="the text before what is to be written, or its token ids; a list of them: one reply each"
    )
    suffix: Text | None = Field(
        None, description="the text after it: the model fills in what stands between `prompt` and `suffix`"
    )
    echo: bool = Field(False, description="begin the reply with the prompt")
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = Field(
        None, description="tell each token's log probability when it was committed, and of this many of the likeliest"
    )

    best_of: Annotated[int, Field(ge=1)] | None = Field(None, description="only where it equals `n`: all are told")

    @model_validator(mode="after")
    def _completion_agrees_with_itself(self) -> "CompletionRequest":
        if self.choices > MAX_CHOICES:
            raise PydanticCustomError("n", f"times the number of prompts must not be more than {MAX_CHOICES}")
        if self.best_of is not None and self.best_of != self.n:
            raise PydanticCustomError("best_of", "must equal n: there is no choosing among replies that are not told")
        if self.echo and self.logprobs is not None:
            raise PydanticCustomError(
                "echo", "cannot be combined with logprobs: this model gives the tokens of a prompt no probabilities"
            )
        return self

    @property
    def choices(self) -> int:
        return self.n * len(self.prompt)

    @property
    def alternatives(self) -> int | None:
        return self.logprobs
