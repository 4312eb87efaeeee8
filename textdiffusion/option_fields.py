"""The declared options as fields, for classes that check values."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from textdiffusion.generation_options import OPTIONS, DefaultOptions, GenerationOptions, Option


class _Base(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, frozen=True)


def _fields(options: Iterable[Option]) -> dict[str, Any]:
    return {
        option.name: (option.annotation, Field(False if option.type is bool else None, description=option.meaning))
        for option in options
    }


if TYPE_CHECKING:

    class DefaultFields(DefaultOptions, _Base): ...

    class OptionFields(GenerationOptions, DefaultFields): ...

else:
    DefaultFields = create_model(
        "DefaultFields", __base__=_Base, **_fields(option for option in OPTIONS.values() if option.has_default)
    )
    OptionFields = create_model(
        "OptionFields",
        __base__=DefaultFields,
        **_fields(option for option in OPTIONS.values() if not option.has_default),
    )
