"""From what a client asks to what workers are asked: one job for each choice of the reply.

An option that the client leaves out stays absent: its default is the worker's to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from router.errors import ContextLengthExceededError, InvalidValueError
from router.schema.generation import GenerationRequest
from router.workers.model import Model
from textdiffusion.generation_options import OPTIONS, foreign_option, not_of_family
from textdiffusion.option_layers import GROW, NOT_WITH_GUIDANCE
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import context_length_exceeded, write_options

SEEDS = 2**64
MOST_LOGPROBS = 2**18  # of one request


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands before and, for infilling, behind what is to be written; `field` is where the client gave it."""

    ids: Sequence[int]
    field: str
    suffix_ids: Sequence[int] = ()
    continued: bool = False  # the reply goes on where the prompt ends, be it in the middle of a word

    @property
    def length(self) -> int:
        return len(self.ids) + len(self.suffix_ids)


@dataclass(frozen=True, slots=True)
class Job:
    """One choice of a reply, as a worker is asked for it."""

    index: int
    prompt: Prompt
    request: pb.GenerateRequest

    @property
    def positions(self) -> int:
        """Of its canvas, all told."""
        return self.prompt.length + self.request.options.gen_length


def jobs_for(asked: GenerationRequest, prompts: Sequence[Prompt], model: Model, request_id: str) -> list[Job]:
    """`n` for each prompt, in the order of the choices. Raises a `ClientError` if one does not fit the model."""
    jobs: list[Job] = []
    for prompt in prompts:
        options = _options(asked, prompt, model)
        _check_logprobs(asked, options.gen_length)
        for number in range(asked.n):
            index = len(jobs)
            request = pb.GenerateRequest(
                request_id=request_id if index == 0 else f"{request_id}-{index}",
                prompt=pb.Tokens(ids=prompt.ids),
                suffix=pb.Tokens(ids=prompt.suffix_ids) if prompt.suffix_ids else None,
                options=options,
                report_canvas=asked.diffusing,
            )
            if asked.seed is not None:
                request.options.seed = (asked.seed + number) % SEEDS
            jobs.append(Job(index, prompt, request))
    return jobs


def _options(asked: GenerationRequest, prompt: Prompt, model: Model) -> pb.DiffusionOptions:
    foreign = foreign_option(asked.options, model.family)
    if foreign:
        raise InvalidValueError(f"{foreign} {not_of_family(model.family)}.", param=foreign)
    length = _reply_length(asked, prompt, model)
    if asked.block_length is not None and asked.block_length > length:
        raise InvalidValueError(
            f"block_length is {asked.block_length}, more than the {length} tokens of the reply.", param="block_length"
        )
    _check_ids(asked, prompt, model)
    _check_canvas(asked, model)
    given = {**asked.options, "max_tokens": length, "seed": None}
    if asked.reply_length is None and asked.min_tokens is not None:
        given["min_tokens"] = min(asked.min_tokens, length)  # of the model's default, which the client does not see
    own = {name: value for name, value in asked.own_defaults.items() if OPTIONS[name].is_known_to(model.family)}
    options = write_options({**own, **given})
    # Without alternatives a worker that is asked for the whole reply at once does not tell of its tokens.
    options.top_logprobs = 0 if asked.alternatives is None else max(asked.alternatives, 1)
    return options


def _check_canvas(asked: GenerationRequest, model: Model) -> None:
    """What the request itself says of guidance has been checked; here the model's default stands in for it."""
    if asked.canvas == GROW and asked.cfg_scale is None and model.defaults.cfg_scale > 0:
        raise InvalidValueError(f"canvas {NOT_WITH_GUIDANCE}.", param="canvas")


def _check_logprobs(asked: GenerationRequest, length: int) -> None:
    """Of all choices together they would be more megabytes than anybody can want to have at once."""
    if asked.alternatives is None:
        return
    told = asked.choices * length * (1 + asked.alternatives)
    if told > MOST_LOGPROBS:
        raise InvalidValueError(
            f"logprobs would be {told} in number, choices times max_tokens times one and its alternatives; "
            f"at most {MOST_LOGPROBS} are told.",
            param="logprobs",
        )


def _check_ids(asked: GenerationRequest, prompt: Prompt, model: Model) -> None:
    if max(prompt.ids, default=0) >= model.vocab_size:
        raise InvalidValueError(
            f"{prompt.field} holds {max(prompt.ids)}; this model's token ids end at {model.vocab_size - 1}.",
            param=prompt.field,
        )
    for field, named in (("logit_bias", asked.logit_bias), ("end_of_thinking_ids", asked.end_of_thinking_ids)):
        largest = max(named or (), default=0)
        if largest >= model.vocab_size:
            raise InvalidValueError(
                f"{field} names {largest}; this model's token ids end at {model.vocab_size - 1}.", param=field
            )


def _reply_length(asked: GenerationRequest, prompt: Prompt, model: Model) -> int:
    room = model.max_sequence_length - prompt.length
    what = f"{prompt.field} and suffix hold" if prompt.suffix_ids else f"{prompt.field} holds"
    if room < 1:
        left = "" if room < 0 else ", which leaves none for the reply"
        however = f"{what} {prompt.length} tokens{left}."
        raise ContextLengthExceededError(
            context_length_exceeded(model.max_sequence_length, however), param=prompt.field
        )
    if asked.reply_length is None:
        return min(model.defaults.gen_length, room)
    if asked.reply_length > room:
        however = (
            f"{what} {prompt.length} tokens, which leaves {room} for the reply, and {asked.max_tokens_field} asks for "
            f"{asked.reply_length}."
        )
        raise ContextLengthExceededError(
            context_length_exceeded(model.max_sequence_length, however), param=asked.max_tokens_field
        )
    return asked.reply_length
