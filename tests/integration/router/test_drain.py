"""How a router goes that is told to: in the order in which nobody loses a reply."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from testing.worker import FakeWorker
from tests.integration.router.processes import PATIENCE_SECONDS, RouterProcess, router_process, status_of
from textdiffusion.tasks import holds_within

ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**ASK, "stream": True}
DONE = b"data: [DONE]\n\n"

Start = Callable[..., Awaitable[tuple[RouterProcess, str]]]


@pytest.fixture
async def start(tmp_path: Path, worker: FakeWorker) -> AsyncIterator[Start]:
    """Starts a router before the worker; gives its URL too."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str) -> tuple[RouterProcess, str]:
            process = router_process(
                "--port=0", f"--workers={worker.address}", *arguments, control=tmp_path / "control.sock"
            )
            router = await stack.enter_async_context(process)
            url = await router.url()
            await router.said("state=serving")
            return router, f"{url}/v1/chat/completions"

        yield start


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_SECONDS)) as http:
        yield http


async def test_while_it_settles_it_serves_and_says_that_it_is_not_ready(
    start: Start, http: aiohttp.ClientSession
) -> None:
    router, url = await start("--settle-seconds=600")
    router.process.terminate()
    await router.said("settling")
    ready = await http.get(url.replace("/v1/chat/completions", "/health/ready"))
    assert (ready.status, (await ready.json())["reason"]) == (503, "the router is shutting down")
    assert await status_of(http, url.replace("/v1/chat/completions", "/health/live")) == 200
    for ask in (ASK, STREAM):
        async with http.post(url, json=ask) as answer:
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            assert await answer.read()
    assert "draining" not in router.log


async def test_under_load_whoever_heeds_readiness_loses_nothing(start: Start, http: aiohttp.ClientSession) -> None:
    router, url = await start("--settle-seconds=3", "--probe-port=0")
    probe = f"{await router.url('listening for probes')}/health/ready"
    answered = 0

    async def ask(body: dict[str, Any]) -> None:
        nonlocal answered
        while await status_of(http, probe) == 200:
            async with http.post(url, json=body) as answer:
                text = await answer.read()
            assert answer.status == 200, text
            answered += 1

    asking = [asyncio.create_task(ask(body)) for body in (ASK, STREAM, ASK, STREAM)]
    await holds_within(PATIENCE_SECONDS, lambda: answered >= 20 or any(task.done() for task in asking))
    router.process.terminate()
    await asyncio.wait_for(asyncio.gather(*asking), PATIENCE_SECONDS)
    assert await router.ended() == 0


async def test_once_it_drains_it_refuses_requests_on_open_connections_and_finishes_the_others(
    start: Start, http: aiohttp.ClientSession, worker: FakeWorker
) -> None:
    worker.info.max_concurrent_requests = 1
    router, url = await start("--max-running-requests=1", "--drain-seconds=60", "--probe-port=0")
    probe = f"{await router.url('listening for probes')}/health/"
    await status_of(http, url.replace("chat/completions", "models"))  # leaves a connection open
    worker.script.hang_after = 3
    async with aiohttp.ClientSession() as others:
        stream = await others.post(url, json=STREAM)
        waiting = asyncio.create_task(others.post(url, json=ASK))
        await router.has_requests(running=1, waiting=1)
        router.process.terminate()
        await router.said("draining")
        refused = await http.post(url, json=ASK)
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "draining")
        assert refused.headers["Connection"] == "close"
        async with aiohttp.ClientSession() as prober:
            assert await status_of(prober, f"{probe}live") == 200
            assert await status_of(prober, f"{probe}ready") == 503
        worker.go_on.set()
        assert (await stream.read()).endswith(DONE)
        assert (await asyncio.wait_for(waiting, PATIENCE_SECONDS)).status == 200
    assert await router.ended() == 0


async def test_what_is_not_done_in_time_ends_with_an_error_that_can_be_read(start: Start, worker: FakeWorker) -> None:
    worker.info.max_concurrent_requests = 2
    router, url = await start("--max-running-requests=2", "--drain-seconds=0.2")
    worker.script.hang_after = 3
    async with aiohttp.ClientSession() as http:
        stream = await http.post(url, json=STREAM)
        whole = [asyncio.create_task(http.post(url, json=ASK)) for _ in range(2)]  # the second one waits for its turn
        await router.has_requests(running=2, waiting=1)
        router.process.terminate()
        text = await asyncio.wait_for(stream.read(), PATIENCE_SECONDS)
        answers = await asyncio.wait_for(asyncio.gather(*whole), PATIENCE_SECONDS)
        *_, event, done, nothing = text.split(b"\n\n")
        assert (json.loads(event.removeprefix(b"data: "))["error"]["code"], done, nothing) == (
            "draining",
            b"data: [DONE]",
            b"",
        )
        assert [(answer.status, (await answer.json())["error"]["code"]) for answer in answers] == [
            (503, "draining"),
            (503, "draining"),
        ]
    assert await router.ended() == 0
    assert "Traceback" not in router.log
    await asyncio.wait_for(worker.cancelled.wait(), PATIENCE_SECONDS)
