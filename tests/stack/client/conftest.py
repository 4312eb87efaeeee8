import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from client.interrupts import Interrupts
from client.main import main
from tests.stack.client.served import Served
from tests.stack.client.terminal import Terminal

Run = Callable[..., Awaitable[int]]
Start = Callable[..., Terminal]


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    server = Served()
    runner = web.AppRunner(server.app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


@pytest.fixture
def run(server: Served, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Has the client talk to the server, with what is piped into it, and returns its exit code."""

    async def run(*arguments: str, piped: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(piped))
        return await asyncio.to_thread(main, [f"--url={server.url}", *arguments], Interrupts())

    return run


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts the client in a terminal: `start("--watch", "Hello", url=…, NO_COLOR="1")`."""
    started: list[Terminal] = []

    def start(*arguments: str, **options: Any) -> Terminal:
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()
