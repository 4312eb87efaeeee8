"""What a stack takes of the machine while it is disturbed, seen from beside."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from testing.faults.stack import Stack, routers
from textdiffusion.status import LauncherStatus

EVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Memory:
    """In MiB: `resident` counts what is shared with others whole, `proportional` shares it out."""

    resident: float
    proportional: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`at` and `router_age` are in seconds. Routers come and go, so that an old one's memory tells more."""

    at: float
    launcher: Memory
    descriptors: int
    router: Memory | None
    router_age: float | None


class Watch:
    """Looks at the launcher and the router in charge once a second."""

    def __init__(self, stack: Stack) -> None:
        self.samples: list[Sample] = []
        self._stack = stack
        self._restarts: dict[str, int] = {}
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()

    @property
    def restarts(self) -> int:
        """Of all processes, those that are gone included."""
        return sum(self._restarts.values())

    @property
    def names(self) -> int:
        """Workers and routers that there have been, a restarted one being the same."""
        return len(self._restarts)

    async def run(self) -> None:
        while True:
            status = await self._stack.status()
            with suppress(psutil.Error):  # the router may be gone by now
                self._add(status)
            await asyncio.sleep(EVERY_SECONDS)

    def _add(self, status: LauncherStatus | None) -> None:
        for process in status["processes"] if status else ():
            known = self._restarts.get(process["name"], 0)
            self._restarts[process["name"]] = max(known, process["restarts"])
        ready = [one for one in routers(status) if one["state"] == "ready" and one["pid"]] if status else []
        launcher = psutil.Process(self._stack.pid)
        self.samples.append(
            Sample(
                at=round(self._clock() - self._began, 1),
                launcher=_memory(launcher),
                descriptors=launcher.num_fds(),
                router=_memory(psutil.Process(ready[-1]["pid"])) if ready else None,
                router_age=ready[-1]["uptime_seconds"] if ready else None,
            )
        )


def start_middle_end(samples: Sequence[Sample]) -> list[Sample]:
    """Three of them, those with a router where there are such."""
    known = [sample for sample in samples if sample.router] or list(samples)
    return [known[0], known[len(known) // 2], known[-1]] if known else []


def _memory(process: psutil.Process) -> Memory:
    full = process.memory_full_info()
    return Memory(*(round(size / 2**20, 1) for size in (full.rss, full.pss)))
