import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from client.interrupts import Interrupts
from client.main import main
from testing.terminal import Start, terminals
from tests.integration.client.served import Served

Run = Callable[..., Awaitable[int]]


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
    with terminals() as start:
        yield start
