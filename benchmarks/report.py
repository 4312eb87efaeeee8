"""What a run leaves behind: lines of a Markdown table as they come, and a JSON file with all that they rest on."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.cell import Cell
from benchmarks.quality import Point
from benchmarks.steps import Step
from testing.report import Table, number, write_record
from worker.device import describe


def _rate(cell: Cell) -> str:
    return f"{cell.engine_rate:.1f} ({min(cell.engine):.1f} to {max(cell.engine):.1f})"


SPEED: Table[Cell] = Table(
    {
        "shape": lambda cell: cell.shape,
        "dtype": lambda cell: cell.dtype,
        "cache": lambda cell: cell.cache,
        "rule": lambda cell: cell.rule,
        "concurrent": lambda cell: cell.concurrent,
        "engine, tokens/s": _rate,
        "over oracle": lambda cell: number(cell.over_oracle),
        "of limit": lambda cell: number(cell.of_limit, ".0%"),
        "matrix rate, GFLOP/s": lambda cell: number(cell.matrix_rate / 1e9, ".0f"),
        "HTTP, tokens/s": lambda cell: number(cell.http_rate),
        "HTTP / engine": lambda cell: number(cell.http_over_engine, ".0%"),
        "forward passes per request": lambda cell: number(cell.forward_passes),
    }
)
QUALITY: Table[Point] = Table(
    {
        "cache": lambda point: point.cache,
        "rule": lambda point: f"{point.rule} {point.value:g}",
        "accuracy": lambda point: number(point.accuracy, ".1%"),
        "forward passes per request": lambda point: number(point.forward_passes),
    }
)
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


def write(file: Path, device: torch.device, **measured: Any) -> None:
    """Writes what was measured, and on what."""
    measured |= {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    write_record(file, machine=describe(device), **measured)
