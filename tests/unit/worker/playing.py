"""Jobs for the engine, played so that the same ones meet in the same batches, and what the oracle makes of them."""

import queue
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st

from testing.folders import GOLDEN, ILLADA_GOLDEN
from testing.oracle import Outcome, Transformer, decode
from worker.engine.engine import Engine
from worker.engine.request import FinishReason, Request, Update
from worker.engine.scheduler import Limits
from worker.models.spec import LoadedModel
from worker.sampling_params import CacheMode, CanvasMode, Remasking, SamplingParams

END, MASK = 304, 305
MAX_UPDATES_WAITED_FOR = 6


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A golden checkpoint: its mask, and what it likes to say, its end token among it."""

    folder: Path
    mask: int
    frequent: Sequence[int]


LLADA = Golden(folder=GOLDEN, mask=MASK, frequent=(58, 159, 217, 298, END))
ILLADA = Golden(folder=ILLADA_GOLDEN, mask=5, frequent=(263, 243, 234, 24, 2))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request, after which update of which earlier job it arrives (else at the start), and when it is cancelled."""

    prompt: Sequence[int]
    options: SamplingParams
    suffix: Sequence[int] = ()
    after: tuple[int, int] | None = None
    cancel_after: int | None = None


def by_the_oracle(oracle: Transformer, job: Job) -> Outcome:
    """What becomes of a job alone; threads would take longer to share out such small work than to do it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return decode(oracle, job.prompt, job.options, job.suffix)
    finally:
        torch.set_num_threads(threads)


@dataclass
class Play:
    """Plays jobs through an engine.

    They are submitted and cancelled while it publishes, so on its own thread and between two passes: the same jobs
    always meet in the same batches.
    """

    engine: Engine
    jobs: Sequence[Job]
    updates: dict[int, list[Update]] = field(default_factory=dict)
    _requests: dict[int, Request] = field(default_factory=dict)
    _ended: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def run(self) -> list[list[Update]]:
        """The updates of each job."""
        starter = SamplingParams(gen_length=1, block_length=1, steps=1)
        self.engine.submit("starter", [], starter, self._start)
        for _ in self.jobs:
            self._ended.get(timeout=60)
        return [self.updates[number] for number in range(len(self.jobs))]

    def _start(self, update: Update) -> None:
        if update.finish_reason:
            self._submit(None)

    def _submit(self, after: tuple[int, int] | None) -> None:
        for number, job in enumerate(self.jobs):
            if job.after == after and number not in self._requests:
                publish = partial(self._publish, number)
                self.updates[number] = []
                self._requests[number] = self.engine.submit(
                    str(number), job.prompt, job.options, publish, suffix=job.suffix
                )

    def _publish(self, number: int, update: Update) -> None:
        seen = self.updates[number]
        seen.append(update)
        self._submit((number, len(seen)))
        if len(seen) == self.jobs[number].cancel_after:
            self.engine.cancel(self._requests[number])
        if update.finish_reason:
            # Who waits for an update that never came arrives now.
            for later in range(len(seen) + 1, MAX_UPDATES_WAITED_FOR + 1):
                self._submit((number, later))
            self._ended.put(number)


def decisions(updates: Sequence[Update]) -> list[list[tuple[int, int, int]]]:
    return [[(token.position, token.id, token.step) for token in update.committed] for update in updates]


def assert_is_as_expected(job: Job, updates: Sequence[Update], expected: Outcome) -> None:
    last = updates[-1]
    cancelled = last.finish_reason is FinishReason.CANCELLED
    if cancelled:
        assert job.cancel_after is not None
        assert last.forward_passes <= job.cancel_after + 1
    assert last.finish_reason is not FinishReason.FAILED
    comparable = min(expected.certain_passes, last.forward_passes if cancelled else expected.passes)
    committed = {token.position: token for update in updates for token in update.committed if token.step <= comparable}
    wanted = {position: known for position, known in expected.committed.items() if known[1] <= comparable}
    assert {position: (token.id, token.step) for position, token in committed.items()} == {
        position: (token, step) for position, (token, step, _) in wanted.items()
    }
    for position, token in committed.items():
        assert token.logprob == pytest.approx(wanted[position][2], abs=1e-3)
    if comparable == expected.passes and not cancelled:
        assert list(last.canvas) == expected.generated
        assert last.forward_passes == expected.passes
        assert last.finish_reason is (FinishReason.STOP if expected.stopped else FinishReason.LENGTH)


@st.composite
def decoding_options(draw: st.DrawFn, golden: Golden) -> SamplingParams:
    rule = draw(st.sampled_from(["quota", "quota", "threshold", "factor"]))
    canvas = draw(st.sampled_from(CanvasMode))
    return SamplingParams(
        gen_length=draw(st.sampled_from([1, 6, 13, 16, 21, 24, 32])),
        block_length=draw(st.sampled_from([1, 4, 5, 8, 8, 16, 40])),
        steps=draw(st.sampled_from([1, 3, 8, 16, 21, 40])),
        steps_per_block=draw(st.sampled_from([None, None, 1, 3, 4, 40])),
        canvas=canvas,
        temperature=draw(st.sampled_from([0.0, 0.0, 0.3, 1.0, 2.0])),
        top_p=draw(st.sampled_from([1.0, 1.0, 0.95, 0.5, 1e-6])),
        top_k=draw(st.sampled_from([0, 0, 1, 3, 40, 1000])),
        seed=draw(st.integers(0, (1 << 64) - 1)),
        min_p=draw(st.sampled_from([0.0, 0.0, 0.02, 0.5])),
        cfg_scale=0.0 if canvas is CanvasMode.GROW else draw(st.sampled_from([0.0, 0.0, 0.5, 1.5])),
        remasking=draw(st.sampled_from(Remasking)),
        kv_cache=draw(st.sampled_from(CacheMode)),
        threshold=draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0])) if rule == "threshold" else None,
        factor=draw(st.sampled_from([0.1, 0.5, 1.0, 3.0])) if rule == "factor" else None,
        max_parallel_tokens=draw(st.sampled_from([None, None, 1, 2, 5])),
        min_parallel_tokens=draw(st.sampled_from([1, 1, 2, 7])),
        min_tokens=draw(st.sampled_from([0, 0, 3, 20])),
        end_of_thinking_boost=draw(st.sampled_from([0.0, 0.0, 15.0, 100.0])),
        end_of_thinking_power=draw(st.sampled_from([1.0, 3.0])),
        end_of_thinking_ids=tuple(draw(st.lists(st.sampled_from(golden.frequent), max_size=3))),
        thinking_budget=draw(st.sampled_from([None, 4, 60])),
        logit_bias=draw(
            st.dictionaries(
                st.sampled_from([*golden.frequent, golden.mask]),
                st.sampled_from([-100.0, -2.5, 1.5, 6.0]),
                max_size=4,
            )
        ),
        end_token_ids=draw(st.frozensets(st.sampled_from(golden.frequent), max_size=2)),
    )


@st.composite
def given_tokens(draw: st.DrawFn, golden: Golden, lengths: Sequence[int]) -> list[int]:
    """Tokens of a prompt or a suffix, mask tokens among them."""
    length, seed = draw(st.sampled_from(lengths)), draw(st.integers(0, 9999))
    return random.Random(seed).choices([*range(320), *[golden.mask] * 40], k=length)


@st.composite
def mixed_jobs(draw: st.DrawFn, golden: Golden) -> list[Job]:
    jobs: list[Job] = []
    for number in range(draw(st.integers(2, 10))):
        later = st.tuples(st.integers(0, number - 1), st.integers(1, MAX_UPDATES_WAITED_FOR)) if number else st.none()
        options = draw(decoding_options(golden))
        growing = options.canvas is CanvasMode.GROW
        # With neither prompt nor suffix all positions are alike.
        prompt = draw(given_tokens(golden, [1, 9, 24] if growing else [0, 1, 9, 24]))
        suffix = [] if growing else draw(given_tokens(golden, [0, 0, 5, 12] if prompt else [5, 12]))
        jobs.append(
            Job(
                prompt=prompt,
                suffix=suffix,
                options=options,
                after=draw(st.none() | later),
                cancel_after=draw(st.sampled_from([None] * 6 + [1, 3])),
            )
        )
    return jobs


@contextmanager
def started(model: LoadedModel, *, max_running: int, max_rows: int = 4096, positions: int = 8192) -> Iterator[Engine]:
    limits = Limits(max_running=max_running, max_waiting=10_000, max_rows=max_rows, positions=positions)
    engine = Engine(model, limits)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()
