import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from testing.folders import GOLDEN
from worker.engine.engine import Engine
from worker.engine.request import Request, Update
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.loading import load_model
from worker.models.spec import LoadedModel
from worker.sampling_params import SamplingParams

LIMITS = Limits(max_running=16, max_waiting=300, positions=4096, max_rows=512)


@dataclass
class Listener:
    """Collects what the engine publishes about one request."""

    updates: queue.SimpleQueue[Update] = field(default_factory=queue.SimpleQueue)
    seen: list[Update] = field(default_factory=list)
    request: Request | None = None

    def next(self) -> Update:
        update = self.updates.get(timeout=60)
        self.seen.append(update)
        return update

    def last(self) -> Update:
        while not self.next().finish_reason:
            pass
        return self.seen[-1]


Submit = Callable[..., Listener]


@pytest.fixture(scope="session")
def golden_model() -> LoadedModel:
    return load_model(Checkpoint.find(str(GOLDEN)), torch.device("cpu"), torch.float32)


@pytest.fixture
def engine(golden_model: LoadedModel) -> Iterator[Engine]:
    engine = Engine(golden_model, LIMITS)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def submit(engine: Engine) -> Submit:
    def submit(prompt: list[int], **options: Any) -> Listener:
        gen_length = options.setdefault("gen_length", 16)
        options.setdefault("block_length", gen_length)
        options.setdefault("steps", gen_length)
        listener = Listener()
        suffix = options.pop("suffix", ())
        settled = SamplingParams(**options)
        listener.request = engine.submit("test", prompt, settled, listener.updates.put, suffix=suffix)
        return listener

    return submit
