"""What a run leaves behind: lines of a Markdown table as they come, and a JSON file with all that they rest on."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from benchmarks.cell import Cell
from benchmarks.quality import Point
from benchmarks.steps import Step
from worker.device import describe

ABSENT = ""

_Row = TypeVar("_Row")


class Table(Generic[_Row]):
    """A Markdown table whose rows are printed one by one; `columns` say what stands under which title."""

    def __init__(self, columns: Mapping[str, Callable[[_Row], object]]) -> None:
        self._columns = columns

    @property
    def head(self) -> str:
        return f"{_line(list(self._columns))}\n{_line(['---'] * len(self._columns))}"

    def line(self, row: _Row) -> str:
        return _line([content(row) for content in self._columns.values()])


def _line(contents: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, contents))} |"


def _number(value: float | None, form: str = ".1f") -> str:
    return ABSENT if value is None else format(value, form)


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
        "over oracle": lambda cell: _number(cell.over_oracle),
        "of limit": lambda cell: _number(cell.of_limit, ".0%"),
        "matrix rate, GFLOP/s": lambda cell: _number(cell.matrix_rate / 1e9, ".0f"),
        "HTTP, tokens/s": lambda cell: _number(cell.http_rate),
        "HTTP / engine": lambda cell: _number(cell.http_over_engine, ".0%"),
        "forward passes per request": lambda cell: _number(cell.forward_passes),
    }
)
QUALITY: Table[Point] = Table(
    {
        "cache": lambda point: point.cache,
        "rule": lambda point: f"{point.rule} {point.value:g}",
        "accuracy": lambda point: _number(point.accuracy, ".1%"),
        "forward passes per request": lambda point: _number(point.forward_passes),
    }
)
STEPS: Table[Step] = Table(
    {
        "shape": lambda step: step.shape,
        "dtype": lambda step: step.dtype,
        "step": lambda step: step.kind,
        "concurrent": lambda step: step.concurrent,
        "rows": lambda step: step.rows,
        "ms": lambda step: _number(step.taken, ".2f"),
        "weights read once, ms": lambda step: _number(step.reading, ".2f"),
        "at the matrix peak, ms": lambda step: _number(step.arithmetic, ".2f"),
        "over the larger": lambda step: _number(step.over_bound, ".2f"),
    }
)


def write(file: Path, device: torch.device, **measured: Any) -> None:
    """Writes what was measured, and on what."""
    run = {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe(device),
        "device": str(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(run | measured, indent=1) + "\n")
