import json
import math
from pathlib import Path
from typing import Any

import pytest

from testing.folders import GOLDEN
from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import CONTEXT_LENGTH
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.llada import LLADA
from worker.models.spec import LoadedModel
from worker.options import InvalidRequestError, defaults_for, settle
from worker.sampling_params import CacheMode, Remasking, SamplingParams

DEFAULTS = defaults_for(Checkpoint("golden", GOLDEN), GenerationSettings(max_tokens=64, threshold=0.5), LLADA)


def settled(model: LoadedModel, prompt: list[int] | None = None, **options: Any) -> SamplingParams:
    request = pb.GenerateRequest(prompt=pb.Tokens(ids=prompt or []), options=pb.DiffusionOptions(**options))
    return settle(request, DEFAULTS, model.spec)


def test_what_is_left_out_comes_from_the_defaults(golden_model: LoadedModel) -> None:
    options = settled(golden_model)
    assert (options.gen_length, options.block_length, options.steps, options.threshold) == (64, 32, 64, 0.5)
    assert options.end_token_ids == {304}


def test_defaults_come_from_settings_then_from_the_model_s_folder(tmp_path: Path) -> None:
    published = {"max_tokens": 50, "threshold": 0.75, "temperature": 0.5, "do_sample": True}
    (tmp_path / "generation_config.json").write_text(json.dumps(published))
    defaults = defaults_for(Checkpoint("folder", tmp_path), GenerationSettings(max_tokens=40), LLADA)
    assert (defaults.gen_length, defaults.threshold, defaults.temperature, defaults.block_length) == (40, 0.75, 0.5, 32)


def test_steps_in_the_settings_put_the_model_s_own_threshold_aside(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"threshold": 0.75}))
    assert not defaults_for(Checkpoint("folder", tmp_path), GenerationSettings(steps=16), LLADA).HasField("threshold")


def test_a_default_of_the_model_that_is_out_of_range_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"threshold": 7}))
    with pytest.raises(CheckpointError, match=r"generation_config\.json: threshold"):
        defaults_for(Checkpoint("folder", tmp_path), GenerationSettings(), LLADA)


@pytest.mark.parametrize("name", ["top_p", "block_length", "max_tokens", "remasking", "kv_cache", "threshold"])
def test_null_in_the_model_s_defaults_means_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({name: None}))
    defaults = defaults_for(Checkpoint("folder", tmp_path), GenerationSettings(), LLADA)
    assert defaults == defaults_for(Checkpoint("none", GOLDEN), GenerationSettings(), LLADA)


def test_defaults_of_the_model_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"threshold": 0.5, "factor": 1.0}))
    with pytest.raises(CheckpointError, match=r"generation_config\.json: .*threshold and factor exclude"):
        defaults_for(Checkpoint("folder", tmp_path), GenerationSettings(), LLADA)


def test_the_mask_token_never_ends_a_request(golden_model: LoadedModel) -> None:
    assert settled(golden_model, stop_token_ids=[305, 7]).end_token_ids == {304, 7}


def test_a_default_spelled_out_is_the_default(golden_model: LoadedModel) -> None:
    defaults = defaults_for(Checkpoint("golden", GOLDEN), GenerationSettings(threshold=0.9, temperature=0.7), LLADA)
    spelled = pb.GenerateRequest(options=pb.DiffusionOptions(threshold=0.9, temperature=0.7, seed=1))
    left_out = pb.GenerateRequest(options=pb.DiffusionOptions(seed=1))
    assert settle(spelled, defaults, golden_model.spec) == settle(left_out, defaults, golden_model.spec)


def test_steps_without_a_threshold_run_the_fixed_schedule(golden_model: LoadedModel) -> None:
    assert settled(golden_model, steps=8).threshold is None
    assert settled(golden_model, steps=8, threshold=0.25).threshold == 0.25


def test_defaults_shrink_to_what_there_is_room_for(golden_model: LoadedModel) -> None:
    assert settled(golden_model, [1] * 500).gen_length == 12
    assert settled(golden_model, gen_length=8).block_length == 8


def test_a_request_without_a_seed_gets_one_of_its_own(golden_model: LoadedModel) -> None:
    assert settled(golden_model).seed != settled(golden_model).seed
    assert settled(golden_model, seed=0).seed == 0


def test_ignore_eos_leaves_the_request_s_own_stop_tokens(golden_model: LoadedModel) -> None:
    assert settled(golden_model, ignore_eos=True, stop_token_ids=[5]).end_token_ids == {5}


@pytest.mark.parametrize(
    ("named", "value"),
    [
        ("gen_length", 0),
        ("gen_length", 513),
        ("block_length", 0),
        ("block_length", 65),
        ("steps", 0),
        ("max_parallel_tokens", 0),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("threshold", -0.1),
        ("threshold", 1.1),
        ("threshold", math.nan),
        ("stop_token_ids", [320]),
        ("cfg_scale", -0.5),
        ("cfg_scale", math.nan),
        ("cfg_scale", math.inf),
        ("factor", -1.0),
        ("factor", math.nan),
        ("kv_cache", 9),
        ("remasking", 9),
        ("logit_bias", {320: 1.0}),
        ("logit_bias", {1: 101.0}),
        ("logit_bias", {1: math.nan}),
        ("logit_bias", {1: -math.inf}),
        ("logit_bias", dict.fromkeys(range(320), 1.0) | dict.fromkeys(range(1000, 2000), 1.0)),
        ("top_logprobs", 21),
    ],
)
def test_an_option_that_cannot_be_run_is_refused_by_its_name(
    golden_model: LoadedModel, named: str, value: object
) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{named}: "):
        settled(golden_model, **{named: value})


@pytest.mark.parametrize("prompt", [[320], [1] * 512, [1] * 600])
def test_a_prompt_that_cannot_be_run_is_refused(golden_model: LoadedModel, prompt: list[int]) -> None:
    with pytest.raises(InvalidRequestError, match=r"^prompt: "):
        settled(golden_model, prompt)


@pytest.mark.parametrize(
    ("prompt", "gen_length", "named"), [(512, 1, "prompt"), (600, 1, "prompt"), (500, 13, "gen_length")]
)
def test_what_is_too_long_is_refused_in_words_that_clients_look_for(
    golden_model: LoadedModel, prompt: int, gen_length: int, named: str
) -> None:
    with pytest.raises(
        InvalidRequestError, match=f"^{named}: {CONTEXT_LENGTH} 512 tokens. However, prompt of {prompt} "
    ):
        settled(golden_model, [1] * prompt, gen_length=gen_length)


def test_prompt_and_suffix_share_the_positions_of_the_model(golden_model: LoadedModel) -> None:
    request = pb.GenerateRequest(prompt=pb.Tokens(ids=[1] * 300), suffix=pb.Tokens(ids=[2] * 200))
    assert settle(request, DEFAULTS, golden_model.spec).gen_length == 12
    request.options.gen_length = 13
    with pytest.raises(
        InvalidRequestError, match=r"^gen_length: .* prompt and suffix of 500 tokens leave 12 .* have 13"
    ):
        settle(request, DEFAULTS, golden_model.spec)
    with pytest.raises(InvalidRequestError, match=r"^suffix: token id 320"):
        settle(pb.GenerateRequest(suffix=pb.Tokens(ids=[320])), DEFAULTS, golden_model.spec)


def test_a_rule_of_the_request_ends_that_of_the_defaults(golden_model: LoadedModel) -> None:
    options = settled(golden_model, factor=0.5)
    assert (options.threshold, options.factor) == (None, 0.5)
    assert settled(golden_model, steps=8).factor is None


def test_names_on_the_wire_are_those_of_the_engine(golden_model: LoadedModel) -> None:
    for name in ("none", "prefix", "dual"):
        wire = pb.KvCache.Value(f"KV_CACHE_{name.upper()}")
        assert settled(golden_model, kv_cache=wire).kv_cache is CacheMode(name)
    for name in ("low_confidence", "random", "margin", "entropy"):
        wire = pb.Remasking.Value(f"REMASKING_{name.upper()}")
        assert settled(golden_model, remasking=wire).remasking is Remasking(name)
