"""Every option of a request for text that workers know, declared once.

From here come the tables of config.toml, the fields of requests over HTTP, their mapping to the wire, the ranges that a
worker holds requests to, the client's flags, what /v1/models tells and the tables of the documentation. A new option
needs a field here, one in `worker.sampling_params` and the place where it has its effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_LOGIT_BIASES: Final = 1024
MAX_BIAS: Final = 100.0
MAX_END_OF_THINKING_IDS: Final = 32


@dataclass(frozen=True, slots=True)
class OnWire:
    """Marks an option that the wire and the engine call by another name."""

    name: str


@dataclass(frozen=True, slots=True)
class KnownTo:
    """Marks an option that only these families of models know."""

    families: frozenset[str]


def _all_if_off(top_k: int) -> int:
    """Return 0 for -1, by which vLLM and SGLang mean the same."""
    return max(top_k, 0)


def _unsigned(seed: int) -> int:
    return seed % 2**64


Remasking = Literal["low_confidence", "random", "margin", "entropy", "sequential"]
KvCache = Literal["none", "prefix", "dual"]
Canvas = Literal["fixed", "grow"]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Natural = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=1000)]
TopK = Annotated[int, Field(ge=-1, lt=2**31), AfterValidator(_all_if_off)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64), AfterValidator(_unsigned)]
Biases = Annotated[dict[int, Annotated[float, Field(ge=-MAX_BIAS, le=MAX_BIAS)]], Field(max_length=MAX_LOGIT_BIASES)]
EndOfThinking = Annotated[list[Natural], Field(max_length=MAX_END_OF_THINKING_IDS)]

_ILLADA: Final = "illada"
_OF_THINKING: Final = KnownTo(frozenset({_ILLADA}))


def _thinking(description: str) -> Any:
    return Field(None, description=f"{description}; only for models of the family `{_ILLADA}`")


class DefaultOptions(BaseModel):
    """Those that have a default, which config.toml may say; None is left out."""

    model_config = ConfigDict(allow_inf_nan=False, frozen=True)

    max_tokens: Annotated[Annotated[int, Field(ge=1)] | None, OnWire("gen_length")] = Field(
        None, description="length of the canvas: the most tokens that a reply may have; the model's default otherwise"
    )
    canvas: Canvas | None = Field(
        None,
        description="how a canvas comes to its length; `fixed` has all its masks from the start, `grow` puts one block "
        "of masks behind the other until an end token, and goes with neither `suffix` nor `cfg_scale`",
    )
    block_length: Count | None = Field(None, description="positions per block; blocks are filled from left to right")
    steps: Count | None = Field(
        None,
        description="a fixed schedule: denoising steps, shared out over the blocks, at least one for each and at most "
        "one for each position; has no effect beside `threshold` or `factor`, which decide how many steps it takes",
    )
    steps_per_block: Count | None = Field(None, description="denoising steps of each block, instead of `steps`")
    threshold: Share | None = Field(
        None, description="a step commits every position at or above this confidence, and at least one"
    )
    factor: Factor | None = Field(
        None,
        description="a step commits as many positions, n, as keep (n + 1)(1 - confidence of the nth) below this, "
        "and at least one",
    )
    max_parallel_tokens: Count | None = Field(None, description="the most positions that a step commits")
    min_parallel_tokens: Count | None = Field(
        None, description="the fewest positions that a step commits, where so many are masked"
    )
    remasking: Remasking | None = Field(None, description="which positions a step commits first")
    kv_cache: KvCache | None = Field(
        None,
        description="keys and values that the steps of a block reuse; `prefix` has those before it, `dual` those "
        "behind it too",
    )
    cfg_scale: Factor | None = Field(None, description="classifier-free guidance; 0: off")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="0 takes the likeliest token at each position"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="sample from the likeliest tokens of this total probability"
    )
    top_k: TopK | None = Field(None, description="sample from this many tokens; 0 or -1: all")
    min_p: Share | None = Field(
        None, description="sample only from tokens that are at least this times as likely as the likeliest; 0: all"
    )
    min_tokens: Natural | None = Field(
        None, description="there is no end token among the first so many positions of the reply"
    )
    end_of_thinking_boost: Annotated[Factor | None, _OF_THINKING] = _thinking(
        "added to the logit of the next token of the marker that ends thinking, times (tokens generated / "
        "`thinking_budget`, at most 1) to the power `end_of_thinking_power`; 0: off"
    )
    end_of_thinking_power: Annotated[Annotated[float, Field(ge=0, le=100)] | None, _OF_THINKING] = _thinking(
        "how late `end_of_thinking_boost` sets in: the higher, the later"
    )
    thinking_budget: Annotated[Count | None, _OF_THINKING] = _thinking(
        "tokens after which `end_of_thinking_boost` is whole; `max_tokens` otherwise"
    )


class GenerationOptions(DefaultOptions):
    """All of them: those of a request alone, too."""

    seed: Seed | None = Field(
        None, description="the same seed gives the same reply again; choice number i of a prompt has `seed` + i"
    )
    logit_bias: Biases | None = Field(None, description="added to the logits of these token ids, from -100 to 100")
    ignore_eos: bool = Field(
        False, description="fill the whole canvas; end tokens and what follows them are then tokens of the reply"
    )
    end_of_thinking_ids: Annotated[EndOfThinking | None, _OF_THINKING] = _thinking(
        "token ids of the marker that ends thinking; the model's own otherwise"
    )


@dataclass(frozen=True, slots=True)
class Option:
    """One of them, as its declaration has it."""

    name: str
    type: Any  # int, float, bool, a Literal, or a list or dict of such
    meaning: str
    wire_name: str
    families: frozenset[str] | None  # None: all
    has_default: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it is one of; empty where it is a number or the like."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def is_known_to(self, family: str) -> bool:
        return self.families is None or family in self.families


def _declared() -> Iterator[Option]:
    for name, field in GenerationOptions.model_fields.items():
        marks = field.metadata
        yield Option(
            name=name,
            type=_plain(field.annotation),
            meaning=field.description or "",
            wire_name=next((mark.name for mark in marks if isinstance(mark, OnWire)), name),
            families=next((mark.families for mark in marks if isinstance(mark, KnownTo)), None),
            has_default=name in DefaultOptions.model_fields,
        )


def _plain(annotation: Any) -> Any:
    """Return a type without its bounds, and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    alternatives = [one for one in get_args(annotation) if one is not NoneType]
    if len(alternatives) < len(get_args(annotation)):
        return _plain(alternatives[0])
    return annotation


OPTIONS: Final[Mapping[str, Option]] = MappingProxyType({option.name: option for option in _declared()})


def foreign_option(names: Mapping[str, Any], family: str) -> str | None:
    """Return the first of these options that models of this family do not know."""
    return next((name for name in names if not OPTIONS[name].is_known_to(family)), None)


def not_of_family(family: str) -> str:
    """Return the end of the sentence by which such an option is refused."""
    return f"is not an option of this model, whose family is {family or 'unknown'}"
