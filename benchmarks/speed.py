"""Tokens a second of one shape: the engine alone and the stack over HTTP, beside the oracle and the limit."""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks import plots
from benchmarks.limit import Arithmetic
from benchmarks.operations import passes
from benchmarks.prompts import Prompt, prompts_of
from benchmarks.running import HttpClient, Trace, run_at_once, running_engine, serving
from benchmarks.shapes import Rule, Shape
from testing import oracle
from testing.report import Table, number
from worker.device import run_in_short_lived_thread
from worker.engine.engine import Engine
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.loading import load_model
from worker.sampling_params import CacheMode, SamplingParams

# Rounds go on for so long though there are enough; and no longer, if their cache is not the one that is judged.
MIN_SECONDS = 4.0
MAX_SECONDS = 10.0
JUDGED = CacheMode.DUAL
THRESHOLD = Rule("threshold", 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What was measured for one model, cache, rule and number of concurrent requests.

    `engine`, `http`, `oracle` and `limit` are tokens a second, the first two round by round and taken in turns.
    `operations` and `forward_passes` are those of a request, the mean over all; `matrix_rate` is operations a second,
    of the products that the limit rests on.
    """

    shape: str
    dtype: str
    cache: str
    rule: str
    concurrent: int
    engine: Sequence[float]
    http: Sequence[float]
    oracle: float | None
    limit: float
    matrix_rate: float
    operations: float
    forward_passes: float

    @property
    def ratios(self) -> dict[str, float | None]:
        """`http_over_engine` is the median over rounds, each two neighbours in time, for a machine's speed drifts."""
        engine = median(self.engine)
        pairs = zip(self.http, self.engine, strict=True) if self.http else ()
        return {
            "engine_rate": engine,
            "http_rate": median(self.http) if self.http else None,
            "over_oracle": engine / self.oracle if self.oracle else None,
            "of_limit": engine / self.limit,
            "http_over_engine": median([http / alone for http, alone in pairs]) if self.http else None,
        }


SPEED: Table[Cell] = Table(
    {
        "model": lambda cell: cell.shape,
        "cache": lambda cell: cell.cache,
        "rule": lambda cell: cell.rule,
        "concurrent": lambda cell: cell.concurrent,
        "engine, tokens/s": lambda cell: number(cell.ratios["engine_rate"]),
        "over the oracle": lambda cell: number(cell.ratios["over_oracle"]),
        "of the limit": lambda cell: number(cell.ratios["of_limit"], ".0%"),
        "HTTP, tokens/s": lambda cell: number(cell.ratios["http_rate"]),
        "HTTP / engine": lambda cell: number(cell.ratios["http_over_engine"], ".0%"),
        "forward passes": lambda cell: number(cell.forward_passes),
    }
)


def measure(
    shape: Shape, folder: Path, device: torch.device, dtype: torch.dtype, plan: argparse.Namespace
) -> Iterator[Cell]:
    """The cells of `shape`, whose checkpoint is in `folder`, one by one as they are done; `plan` says which."""
    model = load_model(Checkpoint.find(str(folder)), device, dtype)
    places, dtype_name = max(plan.concurrent), str(dtype).removeprefix("torch.")
    limits = Limits(max_running=places, max_waiting=0, positions=places * shape.canvas)
    prompts = prompts_of(folder, shape.prompt, places)
    arithmetic = run_in_short_lived_thread(Arithmetic, model.network.config, device, dtype)
    with ExitStack() as opened:
        client = None
        if not plan.skip_http:
            stack = serving(folder, dtype=dtype_name, device=str(device), concurrent=places)
            client = opened.enter_context(stack)
        for cache, rule in product(plan.cache, (shape.fixed_schedule, THRESHOLD)):
            options = shape.options(cache, rule)
            oracle_rate = None
            if not plan.skip_oracle and device.type == "cpu":
                oracle_rate = run_in_short_lived_thread(_rate_of_oracle, folder, dtype, prompts[0], options)
            for concurrent in plan.concurrent:
                with running_engine(model, limits) as engine:
                    traces, alone, over_http = _run_rounds(engine, client, prompts[:concurrent], options, plan.rounds)
                # Only now: beside an engine's threads, others are slowed down.
                needed = [one for trace in traces for one in passes(shape.prompt, options, trace)]
                limit = run_in_short_lived_thread(arithmetic.limit, needed, concurrent, limits.max_rows)
                yield Cell(
                    shape=shape.name,
                    dtype=dtype_name,
                    cache=cache.value,
                    rule=str(rule),
                    concurrent=concurrent,
                    engine=alone,
                    http=over_http,
                    oracle=oracle_rate,
                    limit=len(traces) * options.gen_length / limit.seconds,
                    matrix_rate=limit.operations / limit.seconds,
                    operations=limit.operations / len(traces),
                    forward_passes=len(needed) / len(traces),
                )


def _rate_of_oracle(folder: Path, dtype: torch.dtype, prompt: Prompt, options: SamplingParams) -> float:
    """The algorithm written from its definition, with a checkpoint's weights: one request, no batch."""
    model = oracle.Transformer(folder, dtype)
    began = time.perf_counter()
    oracle.decode(model, prompt.ids, options, nudges=())
    return options.gen_length / (time.perf_counter() - began)


def _run_rounds(
    engine: Engine, client: HttpClient | None, prompts: Sequence[Prompt], options: SamplingParams, least: int
) -> tuple[list[Trace], list[float], list[float]]:
    """The same requests again and again, all at once, to the engine and to the stack in turns.

    Returns what the engine committed, and tokens a second of each round of the engine and of the stack.
    """
    ids, tokens = [prompt.ids for prompt in prompts], len(prompts) * options.gen_length
    # One block first, so that whatever is made at the first use of a shape is there.
    block = replace(options, gen_length=options.block_length, steps=options.block_length)
    run_at_once(engine, ids, block)
    if client:
        client.run_at_once(prompts, block)
    traces: list[Trace] = []
    alone, over_http, began, spent = list[float](), list[float](), time.perf_counter(), 0.0
    while len(alone) < least or spent < MIN_SECONDS:
        if alone and spent >= MAX_SECONDS and options.kv_cache is not JUDGED:
            break
        committed, seconds = run_at_once(engine, ids, options)
        traces += committed
        alone.append(tokens / seconds)
        if client:
            over_http.append(tokens / client.run_at_once(prompts, options))
        spent = time.perf_counter() - began
    return traces, alone, over_http


def draw(file: Path, cells: Sequence[Cell]) -> None:
    """Tokens a second of one shape over concurrent requests: a panel a rule, a bar a cache."""
    rules = list(dict.fromkeys(cell.rule for cell in cells))
    figure, panels = plots.panels(len(rules), height=3.9)
    for panel, rule in zip(panels, rules, strict=True):
        _bars(panel, [cell for cell in cells if cell.rule == rule])
        panel.set_title(f"{cells[0].shape}, {cells[0].dtype}, {rule}", fontsize=10)
        panel.set_xlabel("concurrent requests")
        panel.set_ylabel("tokens per second")
    legend: list[Patch | Line2D] = [
        *(Patch(color=plots.CACHES[name], label=f"engine, cache {name}") for name in _caches(cells)),
        Patch(fill=False, label="limit of the arithmetic, and % of it"),
        Line2D([], [], marker="o", color="white", markeredgecolor="black", markersize=4, label="over HTTP"),
        Line2D([], [], color="black", linewidth=1.5, label="oracle, one request"),
    ]
    figure.legend(handles=legend, frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    plots.save(figure, file)


def _bars(panel: Axes, cells: Sequence[Cell]) -> None:
    caches, groups = _caches(cells), sorted({cell.concurrent for cell in cells})
    width = 0.84 / len(caches)
    for cell in cells:
        place = groups.index(cell.concurrent) + (caches.index(cell.cache) - (len(caches) - 1) / 2) * width
        colour, rate = plots.CACHES[cell.cache], median(cell.engine)
        panel.bar(place, cell.limit, 0.9 * width, fill=False, edgecolor=colour)
        panel.bar(place, rate, 0.9 * width, color=colour)
        told = f"{rate:.0f}\n{rate / cell.limit:.0%}"
        top = (place, max(cell.limit, rate))
        panel.annotate(told, top, (0, 2), textcoords="offset points", ha="center", size=7)
        if cell.http:
            panel.plot(place, median(cell.http), "o", color="white", markeredgecolor="black", markersize=4)
        if cell.oracle:
            panel.plot([place - 0.45 * width, place + 0.45 * width], [cell.oracle] * 2, color="black", linewidth=1.5)
    panel.margins(y=0.13)
    panel.set_xticks(range(len(groups)), [str(number) for number in groups])


def _caches(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.cache for cell in cells))
