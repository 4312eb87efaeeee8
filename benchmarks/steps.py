"""Milliseconds of a step, beside what the device needs to read the weights once and to do the arithmetic at its peak.

This is the measure for large models on a GPU: with few rows a step cannot be faster than the reading, with many it
cannot be faster than the arithmetic.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import torch

from benchmarks.limit import now, seconds_of
from benchmarks.operations import Pass, operations, weights_read
from benchmarks.shapes import Shape
from testing.report import Table, number
from worker.engine.executor import LocalExecutor
from worker.engine.request import build_request
from worker.engine.scheduler import Limits
from worker.engine.step import run_step
from worker.kvcache.arena import Reservation
from worker.models.spec import LoadedModel
from worker.sampling_params import CacheMode

# Large enough for the device to reach its peak.
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What the device does at best: bytes and operations a second."""

    bandwidth: float
    matrix_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Steps of one kind, in milliseconds: the median that was taken, and the two bounds.

    `forward` is the way in which the network ran: replayed as graphs, or as it is written.
    """

    shape: str
    dtype: str
    kind: str
    concurrent: int
    rows: int
    steps: int
    forward: str
    taken: float
    reading: float
    arithmetic: float

    @property
    def over_bound(self) -> float:
        return self.taken / max(self.reading, self.arithmetic)

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"over_bound": self.over_bound}


STEPS: Table[Step] = Table(
    {
        "shape": lambda step: step.shape,
        "dtype": lambda step: step.dtype,
        "step": lambda step: step.kind,
        "concurrent": lambda step: step.concurrent,
        "rows": lambda step: step.rows,
        "forward": lambda step: step.forward,
        "ms": lambda step: number(step.taken, ".2f"),
        "weights read once, ms": lambda step: number(step.reading, ".2f"),
        "at the matrix peak, ms": lambda step: number(step.arithmetic, ".2f"),
        "over the larger": lambda step: number(step.over_bound, ".2f"),
    }
)


def peaks_of(device: torch.device, dtype: torch.dtype) -> Peaks:
    """The copying of a large tensor, which reads and writes it, and a large square product."""
    source = torch.zeros(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    copying = seconds_of(lambda: target.copy_(source), device)
    side = MATRIX_SIDE[device.type]
    factors = torch.randn(2, side, side, dtype=torch.float32, device=device).to(dtype)
    multiplying = seconds_of(lambda: factors[0] @ factors[1], device)
    return Peaks(bandwidth=2 * len(source) / copying, matrix_rate=2 * side**3 / multiplying)


def measure(shape: Shape, model: LoadedModel, concurrent: int, peaks: Peaks) -> Iterator[Step]:
    """The steps of requests that run side by side with the dual cache: over whole canvases, and over blocks."""
    timed, forward = _timed_steps(shape, model, concurrent)
    reading = weights_read(model.network.config) * model.dtype.itemsize / peaks.bandwidth
    for kind, rows in (("full", shape.canvas), ("block", shape.block_length)):
        steps = [(one, seconds) for one, seconds in timed if one.rows == rows]
        needed = mean(operations(model.network.config, one) for one, _ in steps)
        yield Step(
            shape=shape.name,
            dtype=str(model.dtype).removeprefix("torch."),
            kind=kind,
            concurrent=concurrent,
            rows=concurrent * rows,
            steps=len(steps),
            forward=forward,
            taken=1e3 * median(seconds for _, seconds in steps),
            reading=1e3 * reading,
            arithmetic=1e3 * concurrent * needed / peaks.matrix_rate,
        )


def _timed_steps(shape: Shape, model: LoadedModel, concurrent: int) -> tuple[list[tuple[Pass, float]], str]:
    """Return what each request ran over in each step and the seconds of the step, and how the network ran.

    The steps of the first block warm up.
    """
    options = shape.options(CacheMode.DUAL, shape.fixed_schedule)
    rng = random.Random(0)  # noqa: S311 - the same prompts each time
    requests = []
    for slot in range(concurrent):
        prompt = rng.choices(range(model.spec.mask_token_id), k=shape.prompt)
        request = build_request(str(slot), prompt, options, mask_token_id=model.spec.mask_token_id)
        request.reservation = Reservation(slot * shape.canvas, shape.canvas)
        requests.append(request)
    limits = Limits(max_running=concurrent, max_waiting=0, positions=concurrent * shape.canvas)
    executor = LocalExecutor(model, limits, torch.float32)
    executor.start()
    timed = []
    while not requests[0].finish_reason:
        one = Pass(requests[0].next_pass.rows, shape.canvas, len(requests[0].next_pass.candidates))
        began = now(model.device)
        run_step(executor, requests)
        timed.append((one, now(model.device) - began))
    return timed[shape.block_length :], type(executor.runner.forward).__name__
