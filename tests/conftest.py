import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tokenizers import Tokenizer

from router.text.tokenizer import ChatTokenizer, load_tokenizer
from testing.distribution import Scheduler, available_cores, processes_for, slowest_first
from testing.folders import GOLDEN
from testing.stack import Stats, running_stack, stats_of_worker
from testing.tokenizer import write_tokenizer

# Whoever runs the tests in the background may have made them ignore Ctrl-C; the processes that they start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests compute beside the processes that they start and the browser that they drive. Threads of OpenMP that spin while
# they wait for one another would take the cores from all of these, and from themselves.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Where the cores are busy, an example may take as long as it likes.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return processes_for(config.args, available_cores())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slowest_first(items)


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Of one stack for all who ask; it ends in /v1, where OpenAI's API begins."""
    with running_stack("--port=0") as url:
        yield url


@pytest.fixture(scope="session")
def stats(url: str) -> Iterator[Stats]:
    """What the stack's worker has done so far."""
    with stats_of_worker(url) as stats:
        yield stats


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def raw_tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> ChatTokenizer:
    return load_tokenizer(str(tokenizer_folder))


@pytest.fixture(scope="session")
def golden_cases() -> list[dict[str, Any]]:
    """The outputs of the published functions that the engine has to reproduce."""
    cases: list[dict[str, Any]] = json.loads((GOLDEN / "cases.json").read_text())
    return cases


@pytest.fixture
def ids(raw_tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    return lambda text: raw_tokenizer.encode(text, add_special_tokens=False).ids
