from pathlib import Path

import pytest
import torch

from benchmarks.prompts import prompts_of
from benchmarks.running import run_at_once, running_engine
from benchmarks.shapes import Rule, Shape
from testing.random_model import write_random_checkpoint
from tests.unit.benchmarks.tiny import NETWORK
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.llada import LladaConfig
from worker.models.loading import load_model
from worker.sampling_params import CacheMode

CPU = torch.device("cpu")
SHAPE = Shape(name="tiny", network=NETWORK, prompt=40, gen_length=32, block_length=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(NETWORK, tmp_path_factory.mktemp("random") / "tiny")


def test_its_positions_differ_so_that_a_threshold_commits_neither_all_nor_one_at_a_time(folder: Path) -> None:
    model = load_model(Checkpoint.find(str(folder)), CPU, torch.bfloat16)
    limits = Limits(max_running=4, max_waiting=0, positions=4 * SHAPE.canvas)
    prompts = [list(range(number, number + SHAPE.prompt)) for number in range(4)]
    with running_engine(model, limits) as engine:
        traces, _ = run_at_once(engine, prompts, SHAPE.options(CacheMode.DUAL, Rule("threshold", 0.9)))
    assert [len(trace) for trace in traces] == [SHAPE.gen_length] * 4
    assert all(2 < len({token.step for token in trace}) < SHAPE.gen_length for trace in traces)
    assert all(len({token.id for token in trace}) > SHAPE.gen_length / 4 for trace in traces)


def test_prompts_have_the_length_that_was_asked_for_and_differ(folder: Path) -> None:
    prompts = prompts_of(folder, 40, 3)
    assert [len(prompt.ids) for prompt in prompts] == [40] * 3
    assert len({prompt.text for prompt in prompts}) == 3


def test_a_network_that_knows_too_few_ids_for_the_tokenizer_is_refused(tmp_path: Path) -> None:
    small = LladaConfig(**{name: getattr(NETWORK, name) for name in LladaConfig.__slots__} | {"vocab_size": 100})
    with pytest.raises(ValueError, match="ids up to 441"):
        write_random_checkpoint(small, tmp_path / "small")
