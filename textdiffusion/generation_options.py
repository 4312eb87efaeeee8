"""Every option of a request for text that workers know, declared once.

From here come the tables of config.toml, the fields of requests over HTTP, their mapping to the wire, the ranges that a
worker holds requests to, the client's flags, what /v1/models tells and the tables of the documentation. A new option
needs a field here, one in `worker.sampling_params` and the place where it has its effect.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

MAX_LOGIT_BIASES: Final = 1024
MAX_BIAS: Final = 100.0
MAX_STOP_TOKENS: Final = 128
MAX_END_OF_THINKING_IDS: Final = 32


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an option is for, in a sentence."""

    sentence: str


@dataclass(frozen=True, slots=True)
class OnWire:
    """Marks an option that the wire and the engine call by another name."""

    name: str


@dataclass(frozen=True, slots=True)
class KnownTo:
    """Marks an option that models of one family alone know."""

    family: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Marks values that are taken for others, once they are known to be in range."""

    for_others: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        # The client, which checks nothing, starts in a fraction of the time that this would take to be imported.
        from pydantic_core import core_schema  # noqa: PLC0415

        return core_schema.no_info_after_validator_function(self.for_others, handler(source))


def _all_if_off(top_k: int) -> int:
    """Return 0 for -1, by which vLLM and SGLang mean the same."""
    return max(top_k, 0)


def _unsigned(seed: int) -> int:
    return seed % 2**64


Remasking = Literal["low_confidence", "random", "margin", "entropy", "sequential"]
KvCache = Literal["none", "prefix", "dual"]
Canvas = Literal["fixed", "grow"]
Length = Annotated[int, Ge(1), Lt(2**31)]
Count = Annotated[int, Ge(1), Lt(2**31)]
Natural = Annotated[int, Ge(0), Lt(2**31)]
Share = Annotated[float, Ge(0), Le(1)]
ShareOfAll = Annotated[float, Gt(0), Le(1)]
Temperature = Annotated[float, Ge(0), Le(2)]
Factor = Annotated[float, Ge(0), Le(1000)]
Boost = Annotated[float, Ge(-1000), Le(1000)]
Power = Annotated[float, Ge(0), Le(100)]
TopK = Annotated[int, Ge(-1), Lt(2**31), Taken(_all_if_off)]
Seed = Annotated[int, Ge(-(2**63)), Lt(2**64), Taken(_unsigned)]
Biases = Annotated[dict[int, Annotated[float, Ge(-MAX_BIAS), Le(MAX_BIAS)]], MaxLen(MAX_LOGIT_BIASES)]
StopTokens = Annotated[list[Natural], MaxLen(MAX_STOP_TOKENS)]
EndOfThinking = Annotated[list[Natural], MinLen(1), MaxLen(MAX_END_OF_THINKING_IDS)]

_OF_THINKING: Final = KnownTo("illada")


class DefaultOptions:
    """Those that have a default, which config.toml may say; None is left out.

    `option_fields.py` makes fields of them, for classes that check values.
    """

    max_tokens: Annotated[
        Length | None,
        OnWire("gen_length"),
        Meaning("length of the canvas: the most tokens that a reply may have; the model's default otherwise"),
    ]
    canvas: Annotated[
        Canvas | None,
        Meaning(
            "how a canvas comes to its length; `fixed` has all its masks from the start, `grow` puts one block of"
            " masks behind the other until an end token, and goes with neither `suffix` nor `cfg_scale`"
        ),
    ]
    block_length: Annotated[Count | None, Meaning("positions per block; blocks are filled from left to right")]
    steps: Annotated[
        Count | None,
        Meaning(
            "a fixed schedule: denoising steps, shared out over the blocks, at least one for each and at most one"
            " for each position; has no effect beside `threshold` or `factor`, which decide how many steps it "
            "takes"
        ),
    ]
    steps_per_block: Annotated[Count | None, Meaning("denoising steps of each block, instead of `steps`")]
    threshold: Annotated[
        Share | None,
        Meaning("a step commits every position at or above this confidence, and at least one"),
    ]
    factor: Annotated[
        Factor | None,
        Meaning(
            "a step commits as many positions, n, as keep (n + 1)(1 - confidence of the nth) below this, and at "
            "least one"
        ),
    ]
    max_parallel_tokens: Annotated[Count | None, Meaning("the most positions that a step commits")]
    min_parallel_tokens: Annotated[
        Count | None,
        Meaning("the fewest positions that a step commits, where so many are masked"),
    ]
    remasking: Annotated[Remasking | None, Meaning("which positions a step commits first")]
    kv_cache: Annotated[
        KvCache | None,
        Meaning(
            "keys and values that the steps of a block reuse; `prefix` has those before it, `dual` those behind it too"
        ),
    ]
    cfg_scale: Annotated[Factor | None, Meaning("classifier-free guidance; 0: off")]
    temperature: Annotated[Temperature | None, Meaning("0 takes the likeliest token at each position")]
    top_p: Annotated[ShareOfAll | None, Meaning("sample from the likeliest tokens of this total probability")]
    top_k: Annotated[TopK | None, Meaning("sample from this many tokens; 0 or -1: all")]
    min_p: Annotated[
        Share | None,
        Meaning("sample only from tokens that are at least this times as likely as the likeliest; 0: all"),
    ]
    min_tokens: Annotated[
        Natural | None,
        Meaning("there is no end token among the first so many positions of the reply"),
    ]
    end_of_thinking_boost: Annotated[
        Boost | None,
        _OF_THINKING,
        Meaning(
            "added to the logit of the next token of the marker that ends thinking, times (tokens generated / "
            "`thinking_budget`, at most 1) to the power `end_of_thinking_power`; 0 or less: off"
        ),
    ]
    end_of_thinking_power: Annotated[
        Power | None,
        _OF_THINKING,
        Meaning("how late `end_of_thinking_boost` sets in: the higher, the later"),
    ]
    thinking_budget: Annotated[
        Count | None,
        _OF_THINKING,
        Meaning("tokens after which `end_of_thinking_boost` is whole; `max_tokens` otherwise"),
    ]


class GenerationOptions(DefaultOptions):
    """All of them: those of a request alone, too."""

    seed: Annotated[
        Seed | None,
        Meaning("the same seed gives the same reply again; choice number i of a prompt has `seed` + i"),
    ]
    logit_bias: Annotated[Biases | None, Meaning("added to the logits of these token ids, from -100 to 100")]
    ignore_eos: Annotated[
        bool,
        Meaning("fill the whole canvas; end tokens and what follows them are then tokens of the reply"),
    ]
    stop_token_ids: Annotated[
        StopTokens | None,
        Meaning("token ids that end the reply as the model's own end tokens do, also with `ignore_eos`"),
    ]
    end_of_thinking_ids: Annotated[
        EndOfThinking | None,
        _OF_THINKING,
        Meaning("token ids of the marker that ends thinking; the model's own otherwise"),
    ]


@dataclass(frozen=True, slots=True)
class Option:
    """One of them, as its declaration has it."""

    name: str
    annotation: Any  # its type with bounds, and with None where it can be left out
    type: Any  # int, float, bool, a Literal, or a list or dict of such
    meaning: str
    wire_name: str
    family: str | None  # the only one that knows it
    has_default: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it is one of; empty where it is a number or the like."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def is_known_to(self, family: str) -> bool:
        return self.family in (None, family)


def _declared() -> Iterator[Option]:
    for name, annotation in get_type_hints(GenerationOptions, include_extras=True).items():
        marks = {type(mark): mark for mark in get_args(annotation)}
        family = marks[KnownTo].family if KnownTo in marks else None
        sentence = marks[Meaning].sentence
        yield Option(
            name=name,
            annotation=annotation,
            type=_plain(annotation),
            meaning=f"{sentence}; only for models of the family `{family}`" if family else sentence,
            wire_name=marks[OnWire].name if OnWire in marks else name,
            family=family,
            has_default=name in DefaultOptions.__annotations__,
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
