"""What a run leaves behind: Markdown tables for readers, and a JSON file of what was measured and on what."""

import json
import os
import platform
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

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

    def whole(self, rows: Sequence[_Row], *, turned: bool = False) -> str:
        """Head and rows, the columns as wide as what stands in them; `turned` makes columns of the rows."""
        contents = [list(self._columns), *([str(cell(row)) for cell in self._columns.values()] for row in rows)]
        if turned:
            contents = list(map(list, zip(*contents, strict=True)))
        widths = [max(map(len, column)) for column in zip(*contents, strict=True)]
        head, *lines = (_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in contents)
        return "\n".join([head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines])


def _line(contents: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, contents))} |"


def number(value: float | None, form: str = ".1f") -> str:
    return ABSENT if value is None else format(value, form)


def write_record(
    file: Path, arguments: Namespace, *, machine: str | None = None, rows: Sequence[Any] = (), **measured: Any
) -> None:
    """Writes what was asked for, and the figures, dataclasses among them.

    `rows`, of which there may be many, take a line each at the end.
    """
    run = {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine or processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "configuration": {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)},
    }
    text = json.dumps(run | measured, indent=1, allow_nan=False, default=_plain)
    if rows:
        lines = ",\n  ".join(json.dumps(row, allow_nan=False, default=_plain) for row in rows)
        text = f'{text[:-2]},\n "rows": [\n  {lines}\n ]\n}}'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else asdict(value)


def processor() -> str:
    """Its name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
