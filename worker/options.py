"""From a request's options on the wire, and the worker's defaults, to options that are settled and sound."""

import secrets
from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NoReturn, get_type_hints

from pydantic import ValidationError

from textdiffusion.generation_options import OPTIONS, foreign_option, not_of_family
from textdiffusion.option_fields import OptionFields
from textdiffusion.option_layers import FIXED, GROW, NOT_WITH_GUIDANCE, NOT_WITH_SUFFIX, contradictions, lay_over
from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import (
    MAX_TOP_LOGPROBS,
    context_length_exceeded,
    in_plain_words,
    read_options,
    write_options,
)
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.spec import Family, ModelSpec
from worker.published import authors_defaults, called_in_file, published_defaults
from worker.sampling_params import SamplingParams

Options = dict[str, Any]

_FIELDS: Final = SamplingParams.__dataclass_fields__
_TYPES: Final = get_type_hints(SamplingParams)


def _built_in() -> Options:
    """Return what all models know and the engine runs with by itself, and what a server should rather begin with."""
    told = {name: _FIELDS[option.wire_name].default for name, option in OPTIONS.items() if _is_built_in(name)}
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in told.items()}
    return {**plain, "max_tokens": 128, "block_length": 32, "kv_cache": "dual"}


def _is_built_in(name: str) -> bool:
    option = OPTIONS[name]
    field = _FIELDS.get(option.wire_name)
    has_value = field is not None and isinstance(field.default, (int, float, Enum))
    return has_value and option.has_default and option.family is None


BUILT_IN: Final[Mapping[str, Any]] = MappingProxyType(_built_in())

# Values with which options ask for nothing that this worker does not do.
_NEUTRAL: Final[Mapping[str, tuple[float, ...]]] = MappingProxyType(
    {
        "repetition_penalty": (1,),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "draft_depth": (0, 1),
        "remasking_temperature": (0,),
    }
)
_NO_OPTIONS: Final = frozenset({"top_logprobs"})  # it belongs to the router's side of a request
_DONE: Final = _NO_OPTIONS | {option.wire_name for option in OPTIONS.values()}
_UNSUPPORTED: Final = "is not supported by this model"


class InvalidRequestError(Exception):
    """A request that cannot be run as it stands; the message begins with the name of the field."""


def defaults_for(
    checkpoint: Checkpoint,
    settings: GenerationSettings,
    family: Family,
) -> pb.DiffusionOptions:
    """Return what a request that leaves an option out gets.

    That is what the settings say, else generation_config.json, else the family's authors, else `BUILT_IN`. Settings
    that the family does not know are refused, and the checkpoint's not used. Raises `CheckpointError`.
    """
    published = _published(checkpoint)
    given = settings.model_dump(exclude_none=True)
    if foreign := foreign_option(given, family.name):
        raise CheckpointError(f"{checkpoint.source}: generation.{foreign} {not_of_family(family.name)}")
    known = {name: value for name, value in published.items() if OPTIONS[name].is_known_to(family.name)}
    chosen: Options = dict(BUILT_IN)
    for layer in (authors_defaults(checkpoint, family), known, given):
        chosen = lay_over(chosen, layer)
    wrong = next((one for one in contradictions(chosen) if one.name == "canvas"), None)
    if wrong:
        raise CheckpointError(f"{checkpoint.source}: the defaults: {wrong.in_config}")
    return write_options(chosen)


def _published(checkpoint: Checkpoint) -> Options:
    try:
        return GenerationSettings.model_validate(published_defaults(checkpoint)).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = first["msg"].removeprefix("Value error, ")
        if first["loc"]:
            wrong = (
                f"{called_in_file(str(first['loc'][0]), checkpoint)} is out of range: {in_plain_words(first['msg'])}"
            )
        raise CheckpointError(f"{checkpoint.source}: generation_config.json: {wrong}") from error


def settle(request: pb.GenerateRequest, defaults: pb.DiffusionOptions, spec: ModelSpec) -> SamplingParams:
    """Return the options that `request` runs with. Raises `InvalidRequestError`, before any work is done."""
    _check_supported(request)
    given = _read(request.options, spec.family)
    _check_tokens(request, given, spec)
    gen_length = _gen_length(request, defaults, spec.max_positions)
    options = lay_over(read_options(defaults), given)
    options["max_tokens"] = gen_length
    options["block_length"] = _block_length(request.options, defaults, gen_length)
    options["canvas"] = _canvas(options, given, has_suffix=bool(request.suffix.ids))
    options["min_tokens"] = min(options.get("min_tokens", 0), gen_length)
    options.setdefault("steps", gen_length)
    options.setdefault("seed", secrets.randbits(64))
    marker = tuple(options.get("end_of_thinking_ids", spec.end_of_thinking_ids))
    # As iLLaDA's authors have it: a marker that the model cannot write is none.
    writable = max(marker, default=0) < spec.vocab_size and spec.mask_token_id not in marker
    options["end_of_thinking_ids"] = marker if writable else ()
    return SamplingParams(
        **_as_params(options),
        top_logprobs=request.options.top_logprobs,
        end_token_ids=_end_token_ids(request.options, spec),
    )


def _read(message: pb.DiffusionOptions, family: str) -> Options:
    """Return the options that a request gives. Raises `InvalidRequestError` for those that cannot be."""
    given = read_options(message)
    if foreign := foreign_option(given, family):
        _refuse(foreign, not_of_family(family))
    try:
        OptionFields.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        _refuse(str(problem["loc"][0]), _reason(problem["type"], problem["msg"], problem["input"]))
    for name, reason, _ in contradictions(given):
        _refuse(name, reason)
    if message.top_logprobs > MAX_TOP_LOGPROBS:
        _refuse("top_logprobs", f"must be at most {MAX_TOP_LOGPROBS}")
    return given


def _reason(rule: str, message: str, value: object) -> str:
    if rule != "literal_error":
        return in_plain_words(message)
    # What the contract has a name for and this worker has not, or what a newer contract may have one for.
    return _UNSUPPORTED if isinstance(value, str) else f"{value} is not a value of this field"


def _as_params(options: Mapping[str, Any]) -> Options:
    """Return options as `SamplingParams` has them; some decide nothing there."""
    params = {}
    for name, value in options.items():
        field = OPTIONS[name].wire_name
        kind = _TYPES.get(field)
        if kind is not None:
            params[field] = kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value
    return params


def _end_token_ids(options: pb.DiffusionOptions, spec: ModelSpec) -> frozenset[int]:
    ends = {*options.stop_token_ids, *(() if options.ignore_eos else spec.eos_token_ids)}
    # The mask token is never committed; as an end token it would end every request before its first step.
    return frozenset(ends - {spec.mask_token_id})


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
        _refuse("max_tokens", context_length_exceeded(positions, however))
    return request.options.gen_length


def _block_length(given: pb.DiffusionOptions, defaults: pb.DiffusionOptions, gen_length: int) -> int:
    if not given.HasField("block_length"):
        return min(defaults.block_length, gen_length)
    if given.block_length > gen_length:
        _refuse("block_length", f"{given.block_length} is more than the {gen_length} positions to fill")
    return given.block_length


def _canvas(options: Mapping[str, Any], given: Mapping[str, Any], *, has_suffix: bool) -> str:
    """Return how the canvas comes to its length; one that only a default would have grow gives way."""
    canvas: str = options.get("canvas", FIXED)
    obstacle = NOT_WITH_SUFFIX if has_suffix else NOT_WITH_GUIDANCE if options.get("cfg_scale", 0) > 0 else None
    if canvas != GROW or obstacle is None:
        return canvas
    return FIXED if "canvas" not in given else _refuse("canvas", obstacle)


def _check_supported(request: pb.GenerateRequest) -> None:
    if request.HasField("constraint"):
        _refuse("constraint", _UNSUPPORTED)
    for field, value in request.options.ListFields():
        if field.name not in _DONE and value not in _NEUTRAL.get(field.name, ()):
            _refuse(field.name, _UNSUPPORTED)


def _check_tokens(request: pb.GenerateRequest, given: Mapping[str, Any], spec: ModelSpec) -> None:
    fixed = {"prompt": request.prompt.ids, "suffix": request.suffix.ids}
    named = {
        "stop_token_ids": request.options.stop_token_ids,
        "logit_bias": given.get("logit_bias", ()),
    }
    for name, ids in {**fixed, **named}.items():
        _check_token_ids(name, ids, spec.vocab_size)
    for name, ids in fixed.items():
        if spec.mask_token_id in ids:  # it would be taken for a position to fill
            _refuse(name, "must not hold the mask token")


def _check_token_ids(name: str, ids: Iterable[int], vocab_size: int) -> None:
    beyond = next((token for token in ids if token >= vocab_size), None)
    if beyond is not None:
        _refuse(name, f"token id {beyond} is beyond the vocabulary of {vocab_size}")


def _refuse(name: str, reason: str) -> NoReturn:
    """Name the field as the wire does."""
    called = OPTIONS[name].wire_name if name in OPTIONS else name
    raise InvalidRequestError(f"{called}: {reason}")
