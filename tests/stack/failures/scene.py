"""A stack, the clients before it, and what has to become true of it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from testing.faults.client import CASES, Case, Client
from testing.faults.ledger import Deaths, Ledger
from testing.faults.load import Load
from testing.faults.stack import Stack, serving_workers
from testing.openai_client import Reply, connected
from textdiffusion.status import LauncherStatus, ProcessStatus

PATIENCE_SECONDS = 90
LONG = next(case for case in CASES if case.name == "long")
SHORT = next(case for case in CASES if case.name == "short")


class Scene:
    """`expected` are the replies of the model when nothing disturbs it; `deaths` are the router's."""

    def __init__(self, stack: Stack, expected: Mapping[str, Reply], key: str | None = None) -> None:
        """`key` is the one that clients show."""
        self.stack = stack
        self.expected = expected
        self.key = key
        self.deaths = Deaths()
        self._said_before = len(stack.log)

    @property
    def said(self) -> str:
        """The log since this test began."""
        return self.stack.log[self._said_before :]

    async def ask(self, case: Case = SHORT, *, model: str = "demo", key: str | None = None) -> Reply:
        """Over a connection of its own."""
        async with connected(key or self.key) as http:
            return await Client(http, self.stack.url, model).ask(case, stream=False)

    @asynccontextmanager
    async def load(self, *, in_flight: int = 4) -> AsyncIterator[Load]:
        async with connected(self.key) as http:
            load = Load(Client(http, self.stack.url), self.expected, self.deaths)
            async with load.running(in_flight):
                await load.answered(in_flight)
                yield load

    async def until(self, holds: Callable[[LauncherStatus], object]) -> LauncherStatus:
        """The launcher's status, once it is like that."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up:
            status = await self.stack.status()
            if status and holds(status):
                return status
            await asyncio.sleep(0.1)
        pytest.fail(f"it never came true; the last status was {await self.stack.status()}, and the log:\n{self.said}")

    async def change(self, text: str) -> LauncherStatus:
        """Writes config.toml; the status once the launcher has made of it what it could."""
        before = await self.until(lambda status: status["state"] == "serving")
        self.stack.configure(text)
        return await self.until(lambda now: now["reload"] != before["reload"] and now["state"] == "serving")

    async def two_workers(self) -> tuple[ProcessStatus, ProcessStatus]:
        status = await self.until(lambda status: len(serving_workers(status)) == 2)
        one, other = serving_workers(status)
        return one, other


def named(status: LauncherStatus, name: str) -> ProcessStatus:
    return next(process for process in status["processes"] if process["name"] == name)


def send(process: ProcessStatus, number: signal.Signals) -> None:
    assert process["pid"], process  # or else the signal would be for the tests themselves
    os.kill(process["pid"], number)


def serves_again(status: LauncherStatus, before: ProcessStatus) -> bool:
    """Whether a process has been replaced, and its successor is given work."""
    now = named(status, before["name"])
    return now["state"] == "ready" and now["pid"] != before["pid"] and bool(now["running_requests"])


def nothing_failed(ledger: Ledger) -> bool:
    """Every request has got its whole and right reply, except for those whose reply had begun when it broke off."""
    return not ledger.failed and not ledger.refused


def undisturbed_by(ledger: Ledger) -> bool:
    """Whether every request has got its whole and right reply."""
    return nothing_failed(ledger) and not ledger.broken_off
