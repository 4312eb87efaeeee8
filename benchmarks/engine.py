"""The engine alone: no process but this one, no gRPC, no HTTP."""

import queue
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from worker.device import keep_freed_memory
from worker.engine.engine import Engine
from worker.engine.request import CommittedToken, FinishReason, Update
from worker.engine.scheduler import Limits
from worker.models.spec import LoadedModel
from worker.sampling_params import SamplingParams


@dataclass(slots=True)
class Reply:
    """What the engine published about one request."""

    committed: list[CommittedToken] = field(default_factory=list)
    canvas: Sequence[int] = ()
    forward_passes: int = 0


@contextmanager
def started(model: LoadedModel, limits: Limits) -> Iterator[Engine]:
    keep_freed_memory()
    engine = Engine(model, limits)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def run_at_once(engine: Engine, prompts: Sequence[Sequence[int]], options: SamplingParams) -> tuple[list[Reply], float]:
    """The replies to these prompts, all submitted at once, and the seconds until the last one is there."""
    published: queue.SimpleQueue[tuple[int, Update, float]] = queue.SimpleQueue()

    def publish(number: int, update: Update) -> None:
        published.put((number, update, time.perf_counter()))

    began = time.perf_counter()
    for number, prompt in enumerate(prompts):
        engine.submit(str(number), prompt, options, partial(publish, number))
    replies = [Reply() for _ in prompts]
    running, moment = len(prompts), began
    while running:
        number, update, moment = published.get()
        replies[number].committed.extend(update.committed)
        if update.finish_reason in (FinishReason.FAILED, FinishReason.CANCELLED):
            raise RuntimeError(f"the engine gave up a request: {update.failure or update.finish_reason.value}")
        if update.finish_reason:
            replies[number].canvas = update.canvas[: update.ready]
            replies[number].forward_passes = update.forward_passes
            running -= 1
    return replies, moment - began
