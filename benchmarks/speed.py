"""Tokens a second of one shape: the engine alone and the stack over HTTP, beside the oracle and the limit."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch

from benchmarks.baseline import Baseline
from benchmarks.cell import Cell
from benchmarks.engine import started
from benchmarks.limit import Arithmetic
from benchmarks.operations import passes
from benchmarks.prompts import prompts_of
from benchmarks.rounds import Rounds
from benchmarks.shapes import Rule, Shape
from benchmarks.stack import serving
from worker.device import run_in_short_lived_thread
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.loading import load_model
from worker.sampling_params import CacheMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which cells are measured, and beside what."""

    concurrent: Sequence[int]
    caches: Sequence[CacheMode]
    rules: Sequence[Rule]
    rounds: int
    over_http: bool
    with_oracle: bool


def measure(shape: Shape, folder: Path, device: torch.device, dtype: torch.dtype, plan: Plan) -> Iterator[Cell]:
    """The cells of `shape`, whose checkpoint is in `folder`, one by one as they are done."""
    model = load_model(Checkpoint.find(str(folder)), device, dtype)
    places, dtype_name = max(plan.concurrent), str(dtype).removeprefix("torch.")
    limits = Limits(max_running=places, max_waiting=0, positions=places * shape.canvas)
    prompts = prompts_of(folder, shape.prompt, places)
    arithmetic = run_in_short_lived_thread(Arithmetic, model.network.config, device, dtype)
    baseline = run_in_short_lived_thread(Baseline, folder, dtype) if plan.with_oracle else None
    with ExitStack() as opened:
        client = None
        if plan.over_http:
            stack = serving(folder, dtype=dtype_name, device=str(device), concurrent=places)
            client = opened.enter_context(stack)
        for cache, rule in product(plan.caches, plan.rules):
            options = shape.options(cache, rule)
            oracle = (
                run_in_short_lived_thread(baseline.tokens_per_second, prompts[0].ids, options) if baseline else None
            )
            for concurrent in plan.concurrent:
                with started(model, limits) as engine:
                    rounds = Rounds(engine, client, prompts[:concurrent], options)
                    rounds.run(plan.rounds)
                # Only now: beside an engine's threads, others are slowed down.
                needed = [one for reply in rounds.replies for one in passes(shape.prompt, options, reply.committed)]
                limit = run_in_short_lived_thread(arithmetic.limit, needed, concurrent, limits.max_rows)
                yield Cell(
                    shape=shape.name,
                    dtype=dtype_name,
                    cache=cache.value,
                    rule=str(rule),
                    concurrent=concurrent,
                    engine=rounds.engine_rates,
                    http=rounds.http_rates,
                    oracle=oracle,
                    limit=len(rounds.replies) * options.gen_length / limit.seconds,
                    matrix_rate=limit.operations / limit.seconds,
                    operations=limit.operations / len(rounds.replies),
                    forward_passes=len(needed) / len(rounds.replies),
                )
