"""`python -m launcher status`: how the processes of all running launchers of this user are."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from launcher.runtime import status_sockets
from textdiffusion.status import STATUS_PATH, LauncherStatus, ProcessStatus

EXIT_ALL_WELL: Final = 0
EXIT_NOT_WELL: Final = 1  # some process does not serve
EXIT_NONE: Final = 3  # of systemd's `is-active` and LSB's `status`: not running
ANSWER_SECONDS: Final = 10.0
HEADINGS: Final = ("NAME", "STATE", "PID", "UP", "RESTARTS", "RUNNING", "WAITING", "MEMORY", "SERVES")


def report(argv: Sequence[str]) -> int:
    """Prints a table or JSON. The exit code: 0 all of it serves, 1 some of it does not, 3 nothing runs."""
    parser = argparse.ArgumentParser(prog="python -m launcher status", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print what the launchers say, as a JSON list")
    as_json = parser.parse_args(argv).json
    found = asyncio.run(ask_all(status_sockets()))
    print(json.dumps(found, indent=2) if as_json else "\n\n".join(map(table, found)) or "no launcher runs")  # noqa: T201
    if not found:
        return EXIT_NONE
    states = {process["state"] for status in found for process in status["processes"]}
    return EXIT_ALL_WELL if states == {"ready"} else EXIT_NOT_WELL


def table(status: LauncherStatus) -> str:
    """One launcher and its processes, for people."""
    up = _span(status["uptime_seconds"])
    head = f"launcher {status['version']}, pid {status['pid']}, up for {up}, {status['state']}"
    rows = [HEADINGS, *(_row(process) for process in status["processes"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([head, *lines, *_notes(status)])


def _row(process: ProcessStatus) -> Sequence[str]:
    memory = process["memory_bytes"]
    return (
        process["name"],
        process["state"],
        _shown(process["pid"]),
        _span(process["uptime_seconds"]),
        str(process["restarts"]),
        _shown(process["running_requests"]),
        _shown(process["waiting_requests"]),
        "-" if memory is None else f"{memory / 2**20:.0f} MiB",
        f"{process['model']} on {process['device']}" if process["model"] else process["address"],
    )


def _notes(status: LauncherStatus) -> Iterator[str]:
    for process in status["processes"]:
        if process["reason"]:
            yield f"last end of {process['name']}: it {process['reason']}"
    if status["reload"]:
        yield f"last change of the configuration, {status['reload']['at']}: {status['reload']['outcome']}"
        yield from (f"    {problem}" for problem in status["reload"]["problems"])


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


async def ask_all(sockets: Sequence[Path]) -> list[LauncherStatus]:
    """What the launchers behind these sockets say; those that were killed say nothing."""
    answers = await asyncio.gather(*map(_ask, sockets))
    return [answer for answer in answers if answer]


async def _ask(socket: Path) -> LauncherStatus | None:
    connector, timeout = aiohttp.UnixConnector(path=str(socket)), aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"http://launcher{STATUS_PATH}", raise_for_status=True) as response,
        ):
            status: LauncherStatus = await response.json()
            return status
    except (aiohttp.ClientError, FileNotFoundError):
        return None
    except TimeoutError:
        sys.stderr.write(f"the launcher at {socket} does not answer\n")
        return None
