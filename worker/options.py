"""From a request's options on the wire, and the worker's defaults, to options that are settled and sound."""

import math
import secrets
from collections.abc import Iterable
from typing import NoReturn

from pydantic import ValidationError

from textdiffusion.configuration import merged_generation
from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from worker.engine.request import DecodingOptions
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.loading import LoadedModel

BUILT_IN = {"max_tokens": 128, "block_length": 32, "temperature": 0.0, "top_p": 1.0, "top_k": 0}


class InvalidRequestError(Exception):
    """A request that cannot be run as it stands; the message begins with the name of the field."""


def defaults_for(checkpoint: Checkpoint, settings: GenerationSettings) -> pb.DiffusionOptions:
    """What a request that leaves an option out gets: settings, else generation_config.json, else `BUILT_IN`."""
    published = checkpoint.read_json("generation_config.json")
    own = {key: value for key, value in published.items() if key in GenerationSettings.model_fields}
    chosen = merged_generation({**BUILT_IN, **own}, settings.model_dump(exclude_none=True))
    try:
        defaults = GenerationSettings.model_validate(chosen)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise CheckpointError(f"{checkpoint.source}: generation_config.json: {key} is out of range") from error
    options = pb.DiffusionOptions(
        gen_length=defaults.max_tokens,
        block_length=defaults.block_length,
        steps=defaults.steps,
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        top_k=defaults.top_k,
        remasking=pb.REMASKING_RANDOM if defaults.remasking == "random" else pb.REMASKING_LOW_CONFIDENCE,
        kv_cache=pb.KV_CACHE_NONE,
    )
    if defaults.threshold is not None:
        options.threshold = defaults.threshold
    return options


def settle(request: pb.GenerateRequest, defaults: pb.DiffusionOptions, model: LoadedModel) -> DecodingOptions:
    """The options that `request` runs with. Raises `InvalidRequestError`, before any work is done."""
    given = request.options
    _refuse_what_comes_later(request)
    _check_ranges(given)
    _check_token_ids("prompt", request.prompt.ids, model.vocab_size)
    _check_token_ids("stop_token_ids", given.stop_token_ids, model.vocab_size)
    gen_length = _gen_length(request, defaults, model.max_sequence_length)
    options = pb.DiffusionOptions()
    options.CopyFrom(defaults)
    if given.HasField("steps"):
        # Who asks for so many steps wants the fixed schedule, whatever the default.
        options.ClearField("threshold")
    options.MergeFrom(given)
    return DecodingOptions(
        gen_length=gen_length,
        block_length=_block_length(given, defaults, gen_length),
        steps=options.steps or gen_length,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        seed=options.seed if options.HasField("seed") else secrets.randbits(64),
        random_remasking=options.remasking == pb.REMASKING_RANDOM,
        threshold=options.threshold if options.HasField("threshold") else None,
        max_parallel_tokens=options.max_parallel_tokens or None,
        end_token_ids=frozenset(options.stop_token_ids) | frozenset(() if options.ignore_eos else model.eos_token_ids),
    )


def _gen_length(request: pb.GenerateRequest, defaults: pb.DiffusionOptions, positions: int) -> int:
    prompt = len(request.prompt.ids)
    room = positions - prompt
    if room < 1:
        _refuse("prompt", f"{prompt} tokens leave no room in the {positions} positions that the model holds")
    if not request.options.HasField("gen_length"):
        return min(defaults.gen_length, room)
    if request.options.gen_length > room:
        _refuse(
            "gen_length",
            f"{request.options.gen_length} behind a prompt of {prompt} tokens is more than the {positions} positions "
            "that the model holds",
        )
    return request.options.gen_length


def _block_length(given: pb.DiffusionOptions, defaults: pb.DiffusionOptions, gen_length: int) -> int:
    if not given.HasField("block_length"):
        return min(defaults.block_length, gen_length)
    if given.block_length > gen_length:
        _refuse("block_length", f"{given.block_length} is more than the {gen_length} positions to fill")
    return given.block_length


def _refuse_what_comes_later(request: pb.GenerateRequest) -> None:
    options = request.options
    wanted = {
        "suffix": bool(request.suffix.ids),
        "cfg_scale": options.cfg_scale != 0,
        "factor": options.HasField("factor"),
        "kv_cache": options.kv_cache not in (pb.KV_CACHE_UNSPECIFIED, pb.KV_CACHE_NONE),
        "remasking": options.remasking > pb.REMASKING_RANDOM,
        "logit_bias": bool(options.logit_bias),
        "top_logprobs": options.top_logprobs > 0,
    }
    for name, is_wanted in wanted.items():
        if is_wanted:
            _refuse(name, "this worker does not support it")


def _check_ranges(options: pb.DiffusionOptions) -> None:
    for name in ("gen_length", "block_length", "steps", "max_parallel_tokens"):
        if _given(options, name) and getattr(options, name) < 1:
            _refuse(name, "must be at least 1")
    for name, low, high in (("temperature", 0.0, math.inf), ("top_p", 0.0, 1.0), ("threshold", 0.0, 1.0)):
        value = getattr(options, name)
        if _given(options, name) and not (math.isfinite(value) and low <= value <= high):
            _refuse(name, f"must be a number from {low:g} to {high:g}" if high < math.inf else "must be 0 or more")
    if options.HasField("top_p") and options.top_p == 0:
        _refuse("top_p", "must be above 0")


def _check_token_ids(name: str, ids: Iterable[int], vocab_size: int) -> None:
    beyond = next((token for token in ids if token >= vocab_size), None)
    if beyond is not None:
        _refuse(name, f"token id {beyond} is beyond the vocabulary of {vocab_size}")


def _given(options: pb.DiffusionOptions, name: str) -> bool:
    return options.HasField(name)  # type: ignore[arg-type]


def _refuse(name: str, reason: str) -> NoReturn:
    raise InvalidRequestError(f"{name}: {reason}")
