"""A call for text, and what workers are asked for it: one request for each choice.

An option that the caller leaves out stays absent: its default is the worker's to know.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.errors import ContextLengthExceededError, InvalidValueError
from router.workers.model import Model
from textdiffusion.generation_options import OPTIONS, foreign_option, not_of_family
from textdiffusion.option_layers import GROW, NOT_WITH_GUIDANCE
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import context_length_exceeded, write_options

SEEDS = 2**64
MAX_LOGPROBS = 2**18  # of one call


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands before and, for infilling, behind what is to be written; `field` is where the caller gave it."""

    ids: Sequence[int]
    field: str
    suffix_ids: Sequence[int] = ()
    continued: bool = False  # the reply goes on where the prompt ends, be it in the middle of a word

    @property
    def length(self) -> int:
        return len(self.ids) + len(self.suffix_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCall:
    """What every API becomes: so many choices for each prompt, with these options.

    `options` are those that are given, by their names in `generation_options`; `defaults` hold for those that are not,
    where the model knows them. Of each token `alternatives` likely ones are told, and nothing if it is None. With
    `stream` a choice is yielded as it is denoised, else whole; `report_canvas` has the canvas told with each step.
    `deadline` is by the event loop's clock. `encode_prompts` is called once the call is admitted; then `charge` is told
    how many tokens the call asks for, and may refuse them. `field_of_worker` gives the caller's name for a field
    that workers refuse.
    """

    request_id: str
    model: Model
    encode_prompts: Callable[[], Awaitable[Sequence[Prompt]]]
    deadline: float
    n: int = 1
    choices: int = 1  # for all prompts
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    stop: Sequence[str] = ()
    include_stop: bool = False  # the string that ends a choice is a part of it
    special_tokens: bool = False  # are spelled out in the text
    alternatives: int | None = None
    stream: bool = False
    report_canvas: bool = False
    charge: Callable[[int], None] = lambda _: None
    field_of_worker: Callable[[str], str] = lambda name: name

    @property
    def max_tokens(self) -> int | None:
        given: int | None = self.options.get("max_tokens")
        return given

    @property
    def max_tokens_field(self) -> str:
        return self.field_of_worker("gen_length")

    @property
    def ignore_eos(self) -> bool:
        return bool(self.options.get("ignore_eos"))

    @property
    def end_ids(self) -> Sequence[int]:
        """The tokens that end a choice."""
        own = () if self.ignore_eos else self.model.end_ids
        return [*own, *self.options.get("stop_token_ids", ())]


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """One choice of a reply, as a worker is asked for it."""

    index: int
    prompt: Prompt
    request: pb.GenerateRequest

    @property
    def positions(self) -> int:
        """Of its canvas, all told."""
        return self.prompt.length + self.request.options.gen_length


def build_choice_requests(call: GenerationCall, prompts: Sequence[Prompt]) -> list[ChoiceRequest]:
    """Return `n` for each prompt, in their order. Raises a `ClientError` if one does not fit the model."""
    choices: list[ChoiceRequest] = []
    seed = call.options.get("seed")
    for prompt in prompts:
        options = _options(call, prompt)
        _check_logprobs(call, options.gen_length)
        for number in range(call.n):
            index = len(choices)
            request = pb.GenerateRequest(
                request_id=call.request_id if index == 0 else f"{call.request_id}-{index}",
                prompt=pb.Tokens(ids=prompt.ids),
                suffix=pb.Tokens(ids=prompt.suffix_ids) if prompt.suffix_ids else None,
                options=options,
                report_canvas=call.report_canvas,
            )
            if seed is not None:
                request.options.seed = (seed + number) % SEEDS
            choices.append(ChoiceRequest(index, prompt, request))
    return choices


def _options(call: GenerationCall, prompt: Prompt) -> pb.DiffusionOptions:
    model = call.model
    if foreign := foreign_option(call.options, model.family):
        raise InvalidValueError(f"{foreign} {not_of_family(model.family)}.", param=foreign)
    length = _reply_length(call, prompt)
    block_length = call.options.get("block_length")
    if block_length is not None and block_length > length:
        raise InvalidValueError(
            f"block_length is {block_length}, more than the {length} tokens of the reply.", param="block_length"
        )
    _check_ids(call, prompt)
    _check_canvas(call)
    given = {**call.options, "max_tokens": length, "seed": None}
    if call.max_tokens is None and "min_tokens" in given:
        given["min_tokens"] = min(given["min_tokens"], length)  # of the model's default, which the caller does not see
    defaults = {name: value for name, value in call.defaults.items() if OPTIONS[name].is_known_to(model.family)}
    options = write_options({**defaults, **given})
    # Without alternatives a worker that is asked for the whole reply at once does not tell of its tokens.
    options.top_logprobs = 0 if call.alternatives is None else max(call.alternatives, 1)
    return options


def _check_canvas(call: GenerationCall) -> None:
    """Check what the model's default of guidance makes of it; what the call itself says has been checked."""
    guided_by_default = "cfg_scale" not in call.options and call.model.defaults.cfg_scale > 0
    if call.options.get("canvas") == GROW and guided_by_default:
        raise InvalidValueError(f"canvas {NOT_WITH_GUIDANCE}.", param="canvas")


def _check_logprobs(call: GenerationCall, length: int) -> None:
    """Bound the size of the log probabilities of one reply."""
    if call.alternatives is None:
        return
    told = call.choices * length * (1 + call.alternatives)
    if told > MAX_LOGPROBS:
        raise InvalidValueError(
            f"logprobs would be {told} in number, choices times max_tokens times one and its alternatives; "
            f"at most {MAX_LOGPROBS} are told.",
            param="logprobs",
        )


def _check_ids(call: GenerationCall, prompt: Prompt) -> None:
    last = call.model.vocab_size - 1
    if max(prompt.ids, default=0) > last:
        raise InvalidValueError(
            f"{prompt.field} holds {max(prompt.ids)}; this model's token ids end at {last}.", param=prompt.field
        )
    for name in ("logit_bias", "stop_token_ids", "end_of_thinking_ids"):
        largest = max(call.options.get(name, ()), default=0)
        if largest > last:
            raise InvalidValueError(f"{name} names {largest}; this model's token ids end at {last}.", param=name)


def _reply_length(call: GenerationCall, prompt: Prompt) -> int:
    most = call.model.max_sequence_length
    room = most - prompt.length
    what = f"{prompt.field} and suffix hold" if prompt.suffix_ids else f"{prompt.field} holds"
    if room < 1:
        left = "" if room < 0 else ", which leaves none for the reply"
        however = f"{what} {prompt.length} tokens{left}."
        raise ContextLengthExceededError(context_length_exceeded(most, however), param=prompt.field)
    if call.max_tokens is None:
        return min(call.model.defaults.gen_length, room)
    if call.max_tokens > room:
        however = (
            f"{what} {prompt.length} tokens, which leaves {room} for the reply, and {call.max_tokens_field} asks for "
            f"{call.max_tokens}."
        )
        raise ContextLengthExceededError(context_length_exceeded(most, however), param=call.max_tokens_field)
    return call.max_tokens
