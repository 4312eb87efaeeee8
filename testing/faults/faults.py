"""Does to a stack what it has to survive."""

import asyncio
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psutil

from testing.faults.ledger import Deaths
from testing.faults.load import Load
from testing.faults.plan import Fault, Kind, pause_seconds
from testing.faults.stack import Configuration, Stack, serving_workers
from textdiffusion.status import ProcessStatus
from textdiffusion.tasks import cancelled

BROKEN: Final = "many"
BROKEN_SECONDS: Final = 4.0  # the file is read once a second, and once more before it is believed
POLL_SECONDS: Final = 0.1
WORKER_SIGNALS: Final = {
    Kind.WORKER_KILLED: signal.SIGKILL,
    Kind.WORKER_STOPPED: signal.SIGSTOP,
    Kind.WORKER_TERMINATED: signal.SIGTERM,
}
ROUTER_SIGNALS: Final = {Kind.ROUTER_KILLED: signal.SIGKILL, Kind.ROUTER_STOPPED: signal.SIGSTOP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A fault as it was in the end: `to` names whom it struck, `serving` is how many workers served before."""

    at: float
    kind: Kind
    to: str | None
    serving: int


class Faults:
    def __init__(self, stack: Stack, load: Load, deaths: Deaths, configuration: Configuration) -> None:
        self.done: list[Done] = []
        self._stack = stack
        self._load = load
        self._deaths = deaths
        self._configuration = configuration
        self._changes = 0
        self._editing = asyncio.Lock()
        self._touched: set[int] = set()  # processes that a fault has to itself

    async def run(self, plan: Sequence[Fault]) -> None:
        """Each at its time, whatever has become of those before it; returns when all are over."""
        clock = asyncio.get_running_loop().time
        began = clock()
        running = []
        try:
            for fault in plan:
                await asyncio.sleep(began + fault.at - clock())
                running.append(asyncio.create_task(self._do(fault)))
            await asyncio.gather(*running)
        finally:
            await cancelled(*running)

    async def _do(self, fault: Fault) -> None:
        status = await self._stack.status()
        serving = len(serving_workers(status)) if status else 0
        kind, rng = fault.kind(serving), fault.rng()
        everyone = status["processes"] if status else []
        target = self._target(kind, rng, everyone)
        self.done.append(Done(at=fault.at, kind=kind, to=target["name"] if target else None, serving=serving))
        if target and target["pid"]:
            with suppress(psutil.NoSuchProcess):
                await self._strike(kind, psutil.Process(target["pid"]), rng)
        elif kind is Kind.WORKERS_CHANGED:
            await self._change(models={"max_queued_requests": 256 + self._next()})
        elif kind is Kind.ROUTER_CHANGED:
            await self._change(router={"queue_timeout_seconds": 30 + self._next()})
        elif kind is Kind.SETTINGS_BROKEN:
            await self._break()
        elif kind is Kind.HANGUP:
            self._stack.send(signal.SIGHUP)
        elif kind is Kind.CLIENTS_LEFT:
            self._load.leave(rng)

    def _target(self, kind: Kind, rng: random.Random, everyone: Sequence[ProcessStatus]) -> ProcessStatus | None:
        role = kind.value.split()[0]
        if kind not in (*WORKER_SIGNALS, *ROUTER_SIGNALS, Kind.WORKER_PAUSED, Kind.ROUTER_PAUSED):
            return None
        known = [one for one in everyone if one["role"] == role and one["pid"] and one["pid"] not in self._touched]
        serving = [one for one in known if one["state"] == "ready"]
        return rng.choice(serving or known) if known else None

    async def _strike(self, kind: Kind, process: psutil.Process, rng: random.Random) -> None:
        self._touched.add(process.pid)
        try:
            if kind in WORKER_SIGNALS:
                process.send_signal(WORKER_SIGNALS[kind])
                await gone(process)
            elif kind in ROUTER_SIGNALS:
                await self._end_router(process, ROUTER_SIGNALS[kind])
            else:
                await pause(process, pause_seconds(rng))
        finally:
            self._touched.discard(process.pid)

    async def _end_router(self, process: psutil.Process, number: signal.Signals) -> None:
        death = self._deaths.begin()
        try:
            process.send_signal(number)
            await gone(process)
        finally:
            self._deaths.end(death)

    async def _change(self, **sections: dict[str, Any]) -> None:
        async with self._editing:
            changed = self._configuration.with_models(**sections.get("models", {}))
            self._configuration = changed.with_router(**sections.get("router", {}))
            self._stack.configure(self._configuration.text)

    async def _break(self) -> None:
        async with self._editing:
            self._stack.configure(self._configuration.with_models(max_queued_requests=BROKEN).text)
            await asyncio.sleep(BROKEN_SECONDS)
            self._stack.configure(self._configuration.text)

    def _next(self) -> int:
        self._changes += 1
        return self._changes


async def gone(process: psutil.Process) -> None:
    """Returns once it has ended, be it by itself or because the launcher has noticed."""
    while _runs(process):  # noqa: ASYNC110 - nothing tells of the end of another's child
        await asyncio.sleep(POLL_SECONDS)


async def pause(process: psutil.Process, seconds: float) -> None:
    process.suspend()
    await asyncio.sleep(seconds)
    with suppress(psutil.NoSuchProcess):  # the launcher killed it meanwhile
        process.resume()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
