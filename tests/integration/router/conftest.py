"""A router in this process, on a real port, in front of fake workers on real ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from tokenizers import Tokenizer

from launcher.health import RouterHealth
from router.app import build_app
from router.http.connection import Runner
from router.services import SERVICES, Services
from router.workers.line import Dialer
from router.workers.names import Resolve, resolve
from router.workers.pool import Pool
from testing.waiting import eventually
from testing.worker import FakeWorker, Script, info_for, running
from textdiffusion.router_settings import RouterSettings
from textdiffusion.spans import NO_TRACING, Tracing


@pytest.fixture
def make_worker(tokenizer_folder: Path, raw_tokenizer: Tokenizer) -> Callable[..., FakeWorker]:
    def make(**info: Any) -> FakeWorker:
        worker = FakeWorker(info_for(tokenizer_folder, raw_tokenizer.token_to_id, **info))
        worker.script = Script(tokens=raw_tokenizer.encode("Hello, wörld! 🌍<|eot_id|><|endoftext|>").ids)
        return worker

    return make


@pytest.fixture
async def worker(make_worker: Callable[..., FakeWorker]) -> AsyncIterator[FakeWorker]:
    async with running(make_worker()) as worker:
        yield worker


class RunningRouter:
    """One router, and two clients for it."""

    def __init__(self, runner: Runner, services: Services, http: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.runner = runner
        self.services = services
        self.http = http
        self.openai = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    async def post(self, body: Any, **kwargs: Any) -> tuple[int, Any]:
        """Status and JSON of a chat request."""
        async with self.http.post(f"{self.url}/v1/chat/completions", json=body, **kwargs) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def asked_by_its_launcher(self, socket: Path) -> AsyncIterator[RouterHealth]:
        """On the control socket, which it opens there."""
        await web.UnixSite(self.runner, socket).start()
        launcher = RouterHealth(socket)
        try:
            yield launcher
        finally:
            await launcher.close()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(f"{self.url}{path}") as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """For what no HTTP client would send."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield reader, writer
        finally:
            writer.close()


StartRouter = Callable[..., Awaitable[RunningRouter]]


@pytest.fixture
async def start_router() -> AsyncIterator[StartRouter]:
    """Starts routers with the settings that a test wants; they end with the test."""
    async with AsyncExitStack() as stack:

        async def start(
            *addresses: str,
            tracing: Tracing = NO_TRACING,
            dialer: Dialer | None = None,
            resolve: Resolve = resolve,
            wait: bool = True,
            **settings: Any,
        ) -> Any:
            configured = RouterSettings(port=0, workers=addresses, **settings)
            pool = Pool(
                addresses,
                dialer or Dialer.from_settings(configured),
                resolve=resolve,
                templates=configured.templates,
            )
            router = await stack.enter_async_context(_router(configured, pool, tracing))
            if wait:
                await eventually(lambda: router.services.ready)
            return router

        yield start


@pytest.fixture
async def router(worker: FakeWorker, start_router: StartRouter) -> RunningRouter:
    return await start_router(worker.address)


@asynccontextmanager
async def _router(settings: RouterSettings, pool: Pool, tracing: Tracing) -> AsyncIterator[RunningRouter]:
    app = build_app(settings, pool, tracing=tracing)
    runner = Runner(app, drain_seconds=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        running_router = RunningRouter(runner, app[SERVICES], http)
        try:
            yield running_router
        finally:
            await running_router.openai.close()
            await runner.cleanup()
