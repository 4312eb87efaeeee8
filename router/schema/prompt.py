"""How the prompt of a conversation ends: fields that chats and POST /tokenize share, in vLLM's form."""

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import Strict


class PromptRequest(Strict):
    """The fields that say where the prompt of a conversation ends."""

    add_generation_prompt: bool | None = Field(
        None,
        description="end the prompt with the header of a reply, if the model's chat template leaves the choice; "
        "default: true, unless `continue_final_message` is",
    )
    continue_final_message: bool = Field(
        False,
        description="end the prompt with the words of the last message, so that the reply continues them; not beside "
        "`add_generation_prompt`",
    )

    @model_validator(mode="after")
    def _ends_in_one_way(self) -> "PromptRequest":
        if self.continue_final_message and self.add_generation_prompt:
            raise PydanticCustomError(
                "continue_final_message", "and add_generation_prompt exclude each other: set one of them to true"
            )
        return self
