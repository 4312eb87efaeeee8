from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from testing.folders import GOLDEN
from textdiffusion.fingerprint import tokenizer_fingerprint
from textdiffusion.settings import WorkerSettings
from worker.startup import load


@pytest.fixture
def all_threads() -> Iterator[int]:
    """How many threads compute if nobody says anything; as many as before, in the end."""
    threads = torch.get_num_threads()
    yield threads
    torch.set_num_threads(threads)


def test_a_worker_computes_with_as_many_threads_as_it_is_told(all_threads: int) -> None:
    settings = WorkerSettings(model=str(GOLDEN), device="cpu", cpu_threads=all_threads + 1)
    serving = load(settings, on_broken=lambda: None)
    serving.engine.stop()
    with ThreadPoolExecutor(1) as another:
        assert another.submit(torch.get_num_threads).result() == all_threads + 1


def test_a_worker_with_another_tokenizer_names_that_one(tokenizer_folder: Path) -> None:
    settings = WorkerSettings(model=str(GOLDEN), device="cpu", tokenizer=str(tokenizer_folder))
    serving = load(settings, on_broken=lambda: None)
    serving.engine.stop()
    assert serving.info.tokenizer == str(tokenizer_folder)
    assert serving.info.tokenizer_fingerprint == tokenizer_fingerprint(tokenizer_folder)
