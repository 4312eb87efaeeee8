from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.baseline import Baseline
from benchmarks.engine import run_at_once, started
from benchmarks.prompts import prompts_of
from benchmarks.random_model import random_model, write_random_checkpoint
from benchmarks.shapes import Rule, Shape
from tests.unit.benchmarks.tiny import NETWORK
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.llada import LladaConfig
from worker.models.loading import load_model
from worker.models.spec import LoadedModel
from worker.sampling_params import CacheMode

CPU = torch.device("cpu")
SHAPE = Shape(name="tiny", network=NETWORK, prompt=40, gen_length=32, block_length=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(NETWORK, tmp_path_factory.mktemp("random") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load_model(Checkpoint.find(str(folder)), CPU, torch.bfloat16)


def test_a_checkpoint_holds_the_network_that_goes_straight_to_a_device(model: LoadedModel) -> None:
    direct = random_model(NETWORK, CPU, torch.bfloat16)
    assert direct.parameters == model.parameters
    assert direct.spec == replace(model.spec, eos_token_ids=())
    assert torch.equal(direct.network.embedding.weight, model.network.embedding.weight)


def test_its_positions_differ_so_that_a_threshold_commits_neither_all_nor_one_at_a_time(model: LoadedModel) -> None:
    limits = Limits(max_running=4, max_waiting=0, positions=4 * SHAPE.canvas)
    prompts = [list(range(number, number + SHAPE.prompt)) for number in range(4)]
    with started(model, limits) as engine:
        replies, _ = run_at_once(engine, prompts, SHAPE.options(CacheMode.DUAL, Rule("threshold", 0.9)))
    assert all(2 < reply.forward_passes < SHAPE.gen_length for reply in replies)
    assert all(len(set(reply.canvas)) > SHAPE.gen_length / 4 for reply in replies)


def test_the_oracle_runs_it_without_its_second_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr("testing.oracle.decoding._Denoising._number", lambda *_: looks.append(1) or 1)
    options = SHAPE.options(CacheMode.DUAL, SHAPE.fixed_schedule)
    assert Baseline(folder, torch.bfloat16).tokens_per_second(range(SHAPE.prompt), options) > 0
    assert len(looks) == SHAPE.gen_length


def test_prompts_have_the_length_that_was_asked_for_and_differ(folder: Path) -> None:
    prompts = prompts_of(folder, 40, 3)
    assert [len(prompt.ids) for prompt in prompts] == [40] * 3
    assert len({prompt.text for prompt in prompts}) == 3


def test_a_network_that_knows_too_few_ids_for_the_tokenizer_is_refused(tmp_path: Path) -> None:
    small = LladaConfig(**{name: getattr(NETWORK, name) for name in LladaConfig.__slots__} | {"vocab_size": 100})
    with pytest.raises(ValueError, match="ids up to 441"):
        write_random_checkpoint(small, tmp_path / "small")
