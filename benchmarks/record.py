"""The JSON file that a run leaves behind: what was measured, and on what."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write(file: Path, *, machine: str | None = None, rows: Sequence[Mapping[str, Any]] = (), **measured: Any) -> None:
    """Writes the figures; `rows`, of which there may be many, take a line each at the end."""
    run = {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine or processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    text = json.dumps(run | measured, indent=1, allow_nan=False)
    if rows:
        lines = ",\n  ".join(json.dumps(row, allow_nan=False) for row in rows)
        text = f'{text[:-2]},\n "rows": [\n  {lines}\n ]\n}}'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def processor() -> str:
    """Its name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
