"""Whatever a request asks for and whoever shares its batches, it gets what the oracle gives it.

Where rounding could decide (see `testing.oracle`), a request is compared up to the pass before that decision.
"""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from testing.folders import GOLDEN, ILLADA_GOLDEN
from testing.oracle import Transformer
from tests.unit.worker.playing import (
    ILLADA,
    LLADA,
    Job,
    Play,
    assert_is_as_expected,
    by_the_oracle,
    decisions,
    mixed_jobs,
    started,
)
from worker.engine.engine import Engine
from worker.engine.request import Update
from worker.models.checkpoint import Checkpoint
from worker.models.loading import load_model
from worker.models.spec import LoadedModel
from worker.sampling_params import CacheMode, CanvasMode, SamplingParams

CASES: list[dict[str, Any]] = json.loads((GOLDEN / "cases.json").read_text())
ILLADA_CASES: list[dict[str, Any]] = json.loads((ILLADA_GOLDEN / "cases.json").read_text())


def of_case(case: dict[str, Any]) -> Job:
    options = {key: case[key] for key in ("gen_length", "block_length", "steps", "cfg_scale", "threshold")}
    return Job(prompt=case["prompt_ids"], options=SamplingParams(**options, kv_cache=CacheMode(case["cache"])))


def differing_cases(plays: Sequence[Sequence[Update]], cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        case
        for (*_, last), case in zip(plays, cases, strict=True)
        if list(last.canvas) != case["output_ids"] or last.forward_passes > case["nfe"]
    ]


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
