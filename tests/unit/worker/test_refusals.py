"""What a worker does not run is refused by the name of the field, whoever asks."""

import math
from dataclasses import replace
from typing import Any

import pytest

from testing.folders import GOLDEN
from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from worker.models.checkpoint import Checkpoint
from worker.models.illada import ILLADA
from worker.models.llada import LLADA
from worker.models.spec import LoadedModel
from worker.options import InvalidRequestError, defaults_for, settle
from worker.sampling_params import CanvasMode, Remasking, SamplingParams

MASK = 305
FAMILIES = {"llada": LLADA, "illada": ILLADA}
THINKING = {"end_of_thinking_boost": 2.0, "end_of_thinking_power": 3.0, "thinking_budget": 7}


def settled(model: LoadedModel, *, suffix: tuple[int, ...] = (), default: Any = None, **options: Any) -> SamplingParams:
    request = pb.GenerateRequest(suffix=pb.Tokens(ids=suffix), options=pb.DiffusionOptions(**options))
    settings, family = GenerationSettings(**default or {}), FAMILIES[model.spec.family]
    return settle(request, defaults_for(Checkpoint("golden", GOLDEN), settings, family), model.spec)


def illada(model: LoadedModel) -> LoadedModel:
    return replace(model, spec=replace(model.spec, family="illada"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("steps_per_block", 0), ("min_parallel_tokens", 0), ("thinking_budget", 0), ("canvas", 9)),
        *(("min_p", -0.5), ("min_p", 1.5), ("min_p", math.nan), ("temperature", 2.5)),
        *(("end_of_thinking_boost", -1001.0), ("end_of_thinking_boost", 1001.0), ("end_of_thinking_boost", math.nan)),
        *(("end_of_thinking_power", -1.0), ("end_of_thinking_power", 101.0)),
        ("end_of_thinking_ids", [1] * 33),
    ],
)
def test_what_is_out_of_range_is_refused(golden_model: LoadedModel, name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{name}: "):
        settled(illada(golden_model), **{name: value})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 4, "steps_per_block": 4}, "steps_per_block: excludes steps; give one of them"),
        ({"min_parallel_tokens": 3, "max_parallel_tokens": 2}, "min_parallel_tokens: must not be more than max_p"),
        ({"min_tokens": 9, "gen_length": 8}, "min_tokens: must not be more than max_tokens"),
        ({"canvas": pb.CANVAS_GROW, "cfg_scale": 1.0}, "canvas: is grow, which does not go with cfg_scale, as guid"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    golden_model: LoadedModel, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{sentence}"):
        settled(golden_model, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schedule", pb.SCHEDULE_TIMESTEPS),
        ("timestep_eps", 0.001),
        ("editing_threshold", 0.0),
        ("max_post_steps", 0),
        ("repetition_penalty", 1.5),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 0.5),
        ("frequency_penalty", math.nan),
        ("draft_depth", 2),
        ("remasking_temperature", 0.5),
        ("remasking", pb.REMASKING_ORIGIN),
    ],
)
def test_what_is_in_the_contract_and_not_done_is_refused(golden_model: LoadedModel, name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{name}: is not supported by this model$"):
        settled(golden_model, **{name: value})


def test_a_constraint_is_refused(golden_model: LoadedModel) -> None:
    request = pb.GenerateRequest(constraint=pb.Constraint(json_object=True))
    with pytest.raises(InvalidRequestError, match=r"^constraint: is not supported by this model$"):
        settle(request, pb.DiffusionOptions(gen_length=8, block_length=8), golden_model.spec)


def test_what_asks_for_nothing_is_accepted(golden_model: LoadedModel) -> None:
    neutral = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "draft_depth": 1}
    assert settled(golden_model, seed=1, remasking_temperature=0.0, **neutral) == settled(golden_model, seed=1)
    hints = pb.GenerateRequest(priority=pb.PRIORITY_BATCH, skip_prompt_cache=True, cache_salt=b"salt")
    assert settle(hints, pb.DiffusionOptions(gen_length=8, block_length=8), golden_model.spec).gen_length == 8


@pytest.mark.parametrize("name", ["prompt", "suffix"])
def test_a_mask_that_nobody_is_to_fill_is_refused(golden_model: LoadedModel, name: str) -> None:
    request = pb.GenerateRequest(**{name: pb.Tokens(ids=[1, MASK, 2])})
    with pytest.raises(InvalidRequestError, match=f"^{name}: must not hold the mask token$"):
        settle(request, pb.DiffusionOptions(gen_length=8, block_length=8), golden_model.spec)


@pytest.mark.parametrize(("name", "value"), [*THINKING.items(), ("end_of_thinking_ids", [1])])
def test_what_the_model_s_family_does_not_know_is_refused(golden_model: LoadedModel, name: str, value: Any) -> None:
    sentence = f"^{name}: is not an option of this model, whose family is llada$"
    with pytest.raises(InvalidRequestError, match=sentence):
        settled(golden_model, **{name: value})


def test_defaults_of_thinking_hold_for_a_family_that_thinks(golden_model: LoadedModel) -> None:
    options = settled(illada(golden_model), default=THINKING, end_of_thinking_ids=[5, 6])
    assert (options.end_of_thinking_boost, options.end_of_thinking_power, options.thinking_budget) == (2, 3, 7)
    assert options.end_of_thinking_ids == (5, 6)
    assert settled(illada(golden_model)).end_of_thinking_ids == ()


def test_a_marker_that_the_model_cannot_write_is_none(golden_model: LoadedModel) -> None:
    for marker in ([301, 320], [7, MASK]):
        assert settled(illada(golden_model), end_of_thinking_ids=marker).end_of_thinking_ids == ()


def test_a_growing_canvas_is_refused_where_something_stands_behind_it_or_by_default_guides_it(
    golden_model: LoadedModel,
) -> None:
    with pytest.raises(InvalidRequestError, match=r"^canvas: is grow, which does not go with suffix, as nothing"):
        settled(golden_model, suffix=(1,), canvas=pb.CANVAS_GROW)
    with pytest.raises(InvalidRequestError, match=r"^canvas: is grow, which does not go with cfg_scale"):
        settled(golden_model, default={"cfg_scale": 1}, canvas=pb.CANVAS_GROW)
    assert settled(golden_model, default={"cfg_scale": 1}, canvas=pb.CANVAS_GROW, cfg_scale=0.0).cfg_scale == 0


def test_a_canvas_that_grows_by_default_is_fixed_where_it_cannot_grow(golden_model: LoadedModel) -> None:
    grow = {"canvas": "grow"}
    assert settled(golden_model, default=grow).canvas is CanvasMode.GROW
    assert settled(golden_model, default=grow, suffix=(1,)).canvas is CanvasMode.FIXED
    assert settled(golden_model, default=grow, cfg_scale=1.0).canvas is CanvasMode.FIXED
    assert settled(golden_model, default=grow, canvas=pb.CANVAS_FIXED).canvas is CanvasMode.FIXED


def test_options_reach_the_engine_by_their_names(golden_model: LoadedModel) -> None:
    options = settled(
        golden_model,
        steps_per_block=4,
        min_parallel_tokens=2,
        min_p=0.25,
        min_tokens=3,
        remasking=pb.REMASKING_SEQUENTIAL,
    )
    assert (options.steps_per_block, options.min_parallel_tokens, options.min_p, options.min_tokens) == (4, 2, 0.25, 3)
    assert options.remasking is Remasking.SEQUENTIAL


def test_either_number_of_steps_ends_the_default_rule_and_the_other(golden_model: LoadedModel) -> None:
    by_block = settled(golden_model, default={"steps": 16, "threshold": 0.9}, steps_per_block=4)
    assert (by_block.steps, by_block.steps_per_block, by_block.threshold) == (by_block.gen_length, 4, None)
    whole = settled(golden_model, default={"steps_per_block": 4, "factor": 1.0}, steps=16)
    assert (whole.steps, whole.steps_per_block, whole.factor) == (16, None, None)


def test_default_end_tokens_are_kept_off_no_more_positions_than_there_are(golden_model: LoadedModel) -> None:
    assert settled(golden_model, default={"min_tokens": 32}, gen_length=8).min_tokens == 8
