"""Whatever a request asks for and whoever shares its batches, it gets what the oracle gives it.

Where rounding could decide (see `testing.oracle`), a request is compared up to the pass before that decision.
"""

import itertools
import json
import queue
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.folders import GOLDEN, ILLADA_GOLDEN
from testing.oracle import Outcome, Transformer, decode
from worker.engine.engine import Engine
from worker.engine.request import FinishReason, Request, Update
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.loading import load_model
from worker.models.spec import LoadedModel
from worker.sampling_params import CacheMode, CanvasMode, Remasking, SamplingParams

CASES: list[dict[str, Any]] = json.loads((GOLDEN / "cases.json").read_text())
ILLADA_CASES: list[dict[str, Any]] = json.loads((ILLADA_GOLDEN / "cases.json").read_text())
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


def of_case(case: dict[str, Any]) -> Job:
    options = {key: case[key] for key in ("gen_length", "block_length", "steps", "cfg_scale", "threshold")}
    return Job(prompt=case["prompt_ids"], options=SamplingParams(**options, kv_cache=CacheMode(case["cache"])))


def differing_cases(plays: Sequence[Sequence[Update]], cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        case
        for (*_, last), case in zip(plays, cases, strict=True)
        if list(last.canvas) != case["output_ids"] or last.forward_passes > case["nfe"]
    ]


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


@pytest.fixture(scope="module")
def engine(golden_model: LoadedModel) -> Iterator[Engine]:
    """An engine so small that requests wait for a place, for a slot, and for their turn to run over a whole canvas."""
    with started(golden_model, max_running=6, max_rows=150, positions=400) as engine:
        yield engine


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def roomy_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    model = load_model(Checkpoint.find(str(GOLDEN)), torch.device("cpu"), request.param)
    with started(model, max_running=16) as engine:
        yield engine


@pytest.fixture(scope="module")
def oracle() -> Transformer:
    return Transformer(GOLDEN, torch.float64)


@pytest.fixture(scope="module")
def illada_model() -> LoadedModel:
    return load_model(Checkpoint.find(str(ILLADA_GOLDEN)), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def illada_engine(illada_model: LoadedModel) -> Iterator[Engine]:
    """As small as the other's."""
    with started(illada_model, max_running=6, max_rows=150, positions=400) as engine:
        yield engine


@pytest.fixture(scope="module")
def illada_oracle() -> Transformer:
    return Transformer(ILLADA_GOLDEN, torch.float64)


def test_the_oracle_gives_the_golden_tokens_and_is_sure_of_nearly_all() -> None:
    oracle = Transformer(GOLDEN, torch.float32)
    jobs = [of_case(case) for case in CASES]
    outcomes = [by_the_oracle(oracle, job) for job in jobs]
    assert [outcome.generated for outcome in outcomes] == [case["output_ids"] for case in CASES]
    assert all(outcome.passes <= case["nfe"] for outcome, case in zip(outcomes, CASES, strict=True))
    assert sum(outcome.certain_passes for outcome in outcomes) > 0.95 * sum(outcome.passes for outcome in outcomes)


def of_illada_case(case: dict[str, Any], *, to_the_end: bool = False) -> Job:
    """The engine stops at tokens; where a case stops at several in a row, or `to_the_end`, it goes on to the limit."""
    names = ("gen_length", "block_length", "steps", "steps_per_block", "cfg_scale")
    ids = tuple(case["think_end_ids"])
    ends = () if to_the_end else (stop[0] for stop in case["stop_sequences"] if len(stop) == 1)
    options = SamplingParams(
        **{name: case[name] for name in names},
        canvas=CanvasMode(case["canvas"]),
        end_of_thinking_ids=ids if max(ids, default=0) < 320 else (),
        end_of_thinking_boost=case["think_end_boost"],
        end_of_thinking_power=case["think_end_power"],
        end_token_ids=frozenset(ends),
    )
    return Job(prompt=case["prompt_ids"], options=options)


def differing_illada_cases(
    plays: Sequence[Sequence[Update]], cases: Sequence[dict[str, Any]], jobs: Sequence[Job]
) -> list[dict[str, Any]]:
    """Those whose tokens differ, up to the first end token, or that took more passes than the published code."""
    return [
        case
        for (*_, last), case, job in zip(plays, cases, jobs, strict=True)
        if list(last.canvas[: last.ready])[: len(case["output_ids"])] != before_the_end(case["output_ids"], job)
        or (last.forward_passes > case["nfe"] and not goes_on(case, job))
    ]


def before_the_end(tokens: Sequence[int], job: Job) -> list[int]:
    return list(itertools.takewhile(lambda token: token not in job.options.end_token_ids, tokens))


def goes_on(case: dict[str, Any], job: Job) -> bool:
    """Whether the published code stopped where the engine does not."""
    return len(case["output_ids"]) < case["gen_length"] and not set(case["output_ids"]) & job.options.end_token_ids


@pytest.mark.parametrize("to_the_end", [False, True])
def test_every_golden_case_of_illada_alone_gives_its_tokens_in_no_more_passes(
    illada_engine: Engine, to_the_end: bool
) -> None:
    jobs = [of_illada_case(case, to_the_end=to_the_end) for case in ILLADA_CASES]
    plays = [Play(illada_engine, [job]).run()[0] for job in jobs]
    assert differing_illada_cases(plays, ILLADA_CASES, jobs) == []


def test_all_golden_cases_of_illada_in_mixed_batches_give_their_tokens_in_no_more_passes(
    illada_model: LoadedModel,
) -> None:
    cases = random.Random(1).sample(ILLADA_CASES, len(ILLADA_CASES))
    jobs = [of_illada_case(case) for case in cases]
    with started(illada_model, max_running=24, max_rows=1500) as engine:
        assert differing_illada_cases(Play(engine, jobs).run(), cases, jobs) == []


def test_every_golden_case_alone_gives_its_tokens_in_no_more_passes(engine: Engine) -> None:
    plays = [Play(engine, [of_case(case)]).run()[0] for case in CASES]
    assert differing_cases(plays, CASES) == []


def test_all_golden_cases_in_mixed_batches_give_their_tokens_in_no_more_passes(golden_model: LoadedModel) -> None:
    cases = random.Random(1).sample(CASES, len(CASES))
    with started(golden_model, max_running=24, max_rows=1500) as engine:
        assert differing_cases(Play(engine, [of_case(case) for case in cases]).run(), cases) == []


@settings(deadline=None, max_examples=60, derandomize=True)
@given(jobs=mixed_jobs(LLADA))
def test_requests_of_every_kind_that_come_and_go_get_what_the_oracle_gives_each(
    engine: Engine, oracle: Transformer, jobs: list[Job]
) -> None:
    for job, updates in zip(jobs, Play(engine, jobs).run(), strict=True):
        assert_is_as_expected(job, updates, by_the_oracle(oracle, job))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(jobs=mixed_jobs(ILLADA))
def test_so_they_do_of_illada(illada_engine: Engine, illada_oracle: Transformer, jobs: list[Job]) -> None:
    for job, updates in zip(jobs, Play(illada_engine, jobs).run(), strict=True):
        assert_is_as_expected(job, updates, by_the_oracle(illada_oracle, job))


@pytest.mark.parametrize("kv_cache", CacheMode)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_request_gets_the_same_tokens_alone_and_among_15_others(
    roomy_engine: Engine, temperature: float, kv_cache: CacheMode
) -> None:
    options = SamplingParams(
        gen_length=48, block_length=16, steps=24, temperature=temperature, seed=7, kv_cache=kv_cache
    )
    one = Job(prompt=[77, 202, 24, 37, 274, 48], options=options)
    others = [of_case(case) for case in CASES[::16]]
    alone = Play(roomy_engine, [one]).run()[0]
    among_others = Play(roomy_engine, [*others[:7], one, *others[7:]]).run()[7]
    assert len(others) == 15
    assert decisions(among_others) == decisions(alone)
