"""What the benchmarks measure over HTTP: a stack of their own, with a network of random weights."""

from pathlib import Path

import pytest

from benchmarks.prompts import prompts_of
from benchmarks.running import serving
from benchmarks.shapes import Shape
from testing.random_model import write_random_checkpoint
from tests.unit.benchmarks.tiny import NETWORK
from worker.sampling_params import CacheMode

SHAPE = Shape(name="tiny", network=NETWORK, prompt=40, gen_length=32, block_length=16)


def test_the_stack_serves_it_and_fills_every_canvas(tmp_path: Path) -> None:
    folder = write_random_checkpoint(NETWORK, tmp_path / "tiny")
    options = SHAPE.options(CacheMode.DUAL, SHAPE.fixed_schedule)
    with serving(folder, dtype="float32", device="cpu", concurrent=2) as client:
        assert client.run_at_once(prompts_of(folder, SHAPE.prompt, 2), options) > 0
        with pytest.raises(RuntimeError, match="does not fill a canvas"):
            client.run_at_once(prompts_of(folder, 120, 1), options)
