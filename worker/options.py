"""From a request's options on the wire, and the worker's defaults, to options that are settled and sound."""

import secrets
from collections.abc import Iterable, Mapping
from typing import NoReturn

from pydantic import ValidationError

from textdiffusion.configuration import merged_generation
from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import (
    KV_CACHE,
    MAX_BIAS,
    MAX_LOGIT_BIASES,
    MAX_TOP_LOGPROBS,
    REMASKING,
    context_length_exceeded,
)
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.spec import LoadedModel
from worker.published import called_in_file, published_defaults
from worker.sampling_params import CacheMode, Remasking, SamplingParams

BUILT_IN = {
    "max_tokens": 128,
    "block_length": 32,
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "cfg_scale": 0.0,
    "remasking": "low_confidence",
    "kv_cache": "dual",
}


class InvalidRequestError(Exception):
    """A request that cannot be run as it stands; the message begins with the name of the field."""


def defaults_for(checkpoint: Checkpoint, settings: GenerationSettings) -> pb.DiffusionOptions:
    """What a request that leaves an option out gets: settings, else generation_config.json, else `BUILT_IN`."""
    published = published_defaults(checkpoint)
    chosen = merged_generation({**BUILT_IN, **published}, settings.model_dump(exclude_none=True))
    try:
        defaults = GenerationSettings.model_validate(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = f"{called_in_file(str(first['loc'][0]), checkpoint)} is out of range" if first["loc"] else first["msg"]
        raise CheckpointError(f"{checkpoint.source}: generation_config.json: {wrong}") from error
    options = pb.DiffusionOptions(
        gen_length=defaults.max_tokens,
        block_length=defaults.block_length,
        steps=defaults.steps,
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        top_k=defaults.top_k,
        cfg_scale=defaults.cfg_scale,
        remasking=REMASKING[str(defaults.remasking)],
        kv_cache=KV_CACHE[str(defaults.kv_cache)],
        max_parallel_tokens=defaults.max_parallel_tokens,
    )
    if defaults.threshold is not None:
        options.threshold = defaults.threshold
    if defaults.factor is not None:
        options.factor = defaults.factor
    return options


def settle(request: pb.GenerateRequest, defaults: pb.DiffusionOptions, model: LoadedModel) -> SamplingParams:
    """The options that `request` runs with. Raises `InvalidRequestError`, before any work is done."""
    given = request.options
    _check_ranges(given)
    _check_token_ids("prompt", request.prompt.ids, model.spec.vocab_size)
    _check_token_ids("suffix", request.suffix.ids, model.spec.vocab_size)
    _check_token_ids("stop_token_ids", given.stop_token_ids, model.spec.vocab_size)
    _check_token_ids("logit_bias", given.logit_bias, model.spec.vocab_size)
    gen_length = _gen_length(request, defaults, model.spec.max_positions)
    options = pb.DiffusionOptions()
    options.CopyFrom(defaults)
    if given.HasField("steps"):
        # Whoever asks for a number of steps wants the fixed schedule, whatever the default.
        options.ClearField("threshold")
        options.ClearField("factor")
    options.MergeFrom(given)
    return SamplingParams(
        gen_length=gen_length,
        block_length=_block_length(given, defaults, gen_length),
        steps=options.steps or gen_length,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        seed=options.seed if options.HasField("seed") else secrets.randbits(64),
        cfg_scale=options.cfg_scale,
        remasking=Remasking(_name_of("remasking", REMASKING, options.remasking)),
        kv_cache=CacheMode(_name_of("kv_cache", KV_CACHE, options.kv_cache)),
        threshold=options.threshold if options.HasField("threshold") else None,
        factor=options.factor if options.HasField("factor") else None,
        max_parallel_tokens=options.max_parallel_tokens or None,
        logit_bias=dict(options.logit_bias),
        top_logprobs=options.top_logprobs,
        end_token_ids=_end_token_ids(options, model),
    )


def _end_token_ids(options: pb.DiffusionOptions, model: LoadedModel) -> frozenset[int]:
    ends = {*options.stop_token_ids, *(() if options.ignore_eos else model.spec.eos_token_ids)}
    # The mask token is never committed; as an end token it would end every request before its first step.
    return frozenset(ends - {model.spec.mask_token_id})


def _gen_length(request: pb.GenerateRequest, defaults: pb.DiffusionOptions, positions: int) -> int:
    fixed = len(request.prompt.ids) + len(request.suffix.ids)
    name = "prompt and suffix" if request.suffix.ids else "prompt"
    room = positions - fixed
    if room < 1:
        however = f"{name} of {fixed} tokens leave none of them for the reply"
        _refuse("prompt", context_length_exceeded(positions, however))
    if not request.options.HasField("gen_length"):
        return min(defaults.gen_length, room)
    if request.options.gen_length > room:
        however = f"{name} of {fixed} tokens leave {room} for the reply, which shall have {request.options.gen_length}"
        _refuse("gen_length", context_length_exceeded(positions, however))
    return request.options.gen_length


def _block_length(given: pb.DiffusionOptions, defaults: pb.DiffusionOptions, gen_length: int) -> int:
    if not given.HasField("block_length"):
        return min(defaults.block_length, gen_length)
    if given.block_length > gen_length:
        _refuse("block_length", f"{given.block_length} is more than the {gen_length} positions to fill")
    return given.block_length


def _name_of(field: str, known: Mapping[str, int], number: int) -> str:
    found = next((name for name, of_name in known.items() if of_name == number), None)
    return found if found is not None else _refuse(field, f"{number} is not a value of this field")


def _check_ranges(options: pb.DiffusionOptions) -> None:
    for name in ("gen_length", "block_length", "steps", "max_parallel_tokens"):
        if _given(options, name) and getattr(options, name) < 1:
            _refuse(name, "must be at least 1")
    for name, most in (("top_p", 1), ("threshold", 1), ("cfg_scale", 1000), ("factor", 1000), ("temperature", 1000)):
        if _given(options, name) and not 0 <= getattr(options, name) <= most:
            _refuse(name, f"must be a number from 0 to {most}")
    if options.HasField("top_p") and options.top_p == 0:
        _refuse("top_p", "must be above 0")
    _check_logit_bias(options)
    if options.top_logprobs > MAX_TOP_LOGPROBS:
        _refuse("top_logprobs", f"must be at most {MAX_TOP_LOGPROBS}")


def _check_logit_bias(options: pb.DiffusionOptions) -> None:
    if len(options.logit_bias) > MAX_LOGIT_BIASES:
        _refuse("logit_bias", f"must not name more than {MAX_LOGIT_BIASES} tokens")
    if not all(-MAX_BIAS <= bias <= MAX_BIAS for bias in options.logit_bias.values()):
        _refuse("logit_bias", f"must be numbers from {-MAX_BIAS:g} to {MAX_BIAS:g}")


def _check_token_ids(name: str, ids: Iterable[int], vocab_size: int) -> None:
    beyond = next((token for token in ids if token >= vocab_size), None)
    if beyond is not None:
        _refuse(name, f"token id {beyond} is beyond the vocabulary of {vocab_size}")


def _given(options: pb.DiffusionOptions, name: str) -> bool:
    return options.HasField(name)  # type: ignore[arg-type]


def _refuse(name: str, reason: str) -> NoReturn:
    raise InvalidRequestError(f"{name}: {reason}")
