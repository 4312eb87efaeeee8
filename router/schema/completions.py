"""POST /v1/completions: what it is asked."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, PlainValidator, model_validator
from pydantic_core import PydanticCustomError, core_schema

from router.schema.fields import MAX_CHOICES, TOKEN_IDS, Text, TokenId, are_token_ids, encodable, is_token_id
from router.schema.generation import GenerationRequest
from router.schema.tolerance import ToleratedInCompletions
from textdiffusion.option_layers import GROW, NOT_WITH_SUFFIX
from textdiffusion.wire import MAX_TOP_LOGPROBS

PromptAsGiven = (
    str
    | Annotated[list[TokenId], Field(min_length=1)]
    | Annotated[list[str | list[TokenId]], Field(min_length=1, max_length=MAX_CHOICES)]
)


@dataclass(frozen=True, slots=True)
class GivenPrompt:
    """A text or token ids, and the path at which the client wrote them."""

    value: str | list[int]
    field: str = "prompt"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Keep what is our own out of the documents that are made of the class of a request."""
        del source, handler
        return core_schema.is_instance_schema(cls)


def _as_prompts(given: Any) -> list[GivenPrompt]:
    if isinstance(given, str) or (given and are_token_ids(given)):
        return [GivenPrompt(_prompt(given))]
    if not isinstance(given, list):
        raise PydanticCustomError(
            "prompt_type", "must be a string, a list of strings, a list of token ids, or a list of such lists"
        )
    if len(given) > MAX_CHOICES:  # they are not looked into
        raise PydanticCustomError("prompts", f"must be token ids, all of them, or not more than {MAX_CHOICES} prompts")
    if not given:
        raise PydanticCustomError("prompt_empty", "must not be empty")
    if is_token_id(given[0]):
        raise _no_token_id(given)
    return [GivenPrompt(_prompt(one, index), f"prompt[{index}]") for index, one in enumerate(given)]


def _prompt(given: Any, *at: int) -> str | list[int]:
    """Return one prompt; `at` is where in the list of them it stands. Raises what is wrong with it, and where."""
    if isinstance(given, str):
        try:
            return encodable(given)
        except PydanticCustomError as error:
            raise PydanticCustomError("lone_surrogate", error.message_template, {"at": at}) from error
    if are_token_ids(given):
        ids: list[int] = given
        return ids
    if isinstance(given, list):
        raise _no_token_id(given, *at)
    raise PydanticCustomError("prompt_type", "must be a string or a list of token ids", {"at": at})


def _no_token_id(given: list[Any], *at: int) -> PydanticCustomError:
    """Return the error of the first that is none."""
    wrong = next(index for index, token in enumerate(given) if not is_token_id(token))
    return PydanticCustomError("token_id", f"must be a token id, from 0 to {TOKEN_IDS - 1}", {"at": (*at, wrong)})


class CompletionRequest(ToleratedInCompletions, GenerationRequest):
    """The body of POST /v1/completions."""

    prompt: Annotated[list[GivenPrompt], PlainValidator(_as_prompts, json_schema_input_type=PromptAsGiven)] = Field(
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
        if self.suffix and self.canvas == GROW:
            raise PydanticCustomError("canvas", NOT_WITH_SUFFIX)
        return self

    @property
    def is_without_thinking(self) -> bool:
        return True  # a matter of chats

    @property
    def choices(self) -> int:
        return self.n * len(self.prompt)

    @property
    def alternatives(self) -> int | None:
        return self.logprobs

    def field_of_worker(self, name: str) -> str:
        return "logprobs" if name == "top_logprobs" else super().field_of_worker(name)
