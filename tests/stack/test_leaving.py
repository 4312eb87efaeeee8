"""A client that leaves stops the worker's work, which the worker's own counters tell: slow would not pass for stopped.

The work is a canvas of a thousand positions that is run over whole, a thousand times. One such forward pass takes many
times longer than the news of a client that left takes to arrive.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from testing.folders import ROOT
from testing.waiting import eventually_async
from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

START_SECONDS = 120
# The pass under way as the client leaves, the one that begins before the news arrives, and as many for a busy machine.
PASSES_AFTER_LEAVING = 4
STEPS = 900
ASK = {
    "model": "demo",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": STEPS,
    "block_length": STEPS,
    "steps": STEPS,
    "kv_cache": "none",
    "ignore_eos": True,
}


@asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, stderr=asyncio.subprocess.PIPE, env=os.environ
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


class Stack:
    """A worker, a router before it, and a client; `before` is what the worker had done when they met."""

    def __init__(self, url: str, http: aiohttp.ClientSession, worker: rpc.TextGenerationServiceStub) -> None:
        self.url = url
        self.http = http
        self.before = pb.GetStatsResponse()
        self._worker = worker

    async def stats(self) -> pb.GetStatsResponse:
        return await self._worker.GetStats(pb.GetStatsRequest(), timeout=60)  # type: ignore[no-any-return, misc]

    async def health(self) -> Any:
        async with self.http.get(f"{self.url}/health") as response:
            return await response.json()

    def asking(self, **fields: Any) -> "asyncio.Task[Any]":
        async def ask() -> Any:
            async with self.http.post(f"{self.url}/v1/chat/completions", json={**ASK, **fields}) as response:
                return await response.read()

        return asyncio.create_task(ask())

    async def working(self, passes: int = 3) -> None:
        """Returns once the worker has run so many more passes for one request."""
        begun = (await self.stats()).forward_passes_total

        async def well_under_way() -> bool:
            stats = await self.stats()
            return stats.running_requests == 1 and stats.forward_passes_total >= begun + passes

        await eventually_async(well_under_way)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a worker listens that runs one request at a time."""
    address = f"unix:{tmp_path_factory.mktemp('leaving')}/worker.sock"
    flags = ("--model=models/demo", f"--listen={address}", "--device=cpu", "--max-concurrent-requests=1")
    running = subprocess.Popen([sys.executable, "-m", "worker", *flags], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(address) as channel:
            watch = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
            health = health_pb2_grpc.HealthStub(channel)
            for answer in health.Watch(watch, timeout=START_SECONDS, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break
        yield address
    finally:
        running.kill()
        running.communicate()


@asynccontextmanager
async def running_stack(address: str, max_running: int) -> AsyncIterator[Stack]:
    """A router before the worker."""
    async with grpc.aio.insecure_channel(address) as channel:
        router_flags = ("--port=0", f"--workers={address}", f"--max-running-requests={max_running}")
        async with process("router", *router_flags) as router, aiohttp.ClientSession() as http:
            url = await url_of(router)
            stack = Stack(url, http, rpc.TextGenerationServiceStub(channel))

            async def ready() -> bool:
                return bool((await stack.health())["status"] == "ready")

            await eventually_async(ready)
            stack.before = await stack.stats()
            yield stack


async def url_of(router: asyncio.subprocess.Process) -> str:
    assert router.stderr
    while line := (await asyncio.wait_for(router.stderr.readline(), START_SECONDS)).decode():
        if found := re.search(r"listening.*(http://[\w.:]+)", line):
            return found[1]
    raise AssertionError("the router ended")


async def leave_whole(stack: Stack) -> None:
    asking = stack.asking()
    await stack.working()
    asking.cancel()


async def leave_with_a_stop_string(stack: Stack) -> None:
    asking = stack.asking(stop="never")
    await stack.working()
    asking.cancel()


async def leave_before_the_first_chunk(stack: Stack) -> None:
    asking = stack.asking(stream=True)
    await stack.working(passes=0)
    asking.cancel()


async def leave_in_mid_stream(stack: Stack) -> None:
    body = {**ASK, "stream": True, "diffusing": True}
    async with stack.http.post(f"{stack.url}/v1/chat/completions", json=body) as response:
        for _ in range(3):
            await response.content.readuntil(b"\n\n")


@pytest.mark.parametrize(
    "leave", [leave_whole, leave_with_a_stop_string, leave_before_the_first_chunk, leave_in_mid_stream]
)
async def test_the_worker_stops_with_the_step_in_which_the_client_leaves(
    leave: Callable[[Stack], Awaitable[None]], worker: str
) -> None:
    async with running_stack(worker, max_running=1) as stack:
        await leave(stack)
        left = await stack.stats()
        await idle_after(stack, left, cancelled=1)


async def test_whoever_leaves_the_routers_queue_was_never_at_the_worker(worker: str) -> None:
    async with running_stack(worker, max_running=1) as stack:
        first = stack.asking()
        await stack.working()
        second = stack.asking()

        async def one_waits() -> bool:
            return bool((await stack.health())["requests"] == {"running": 1, "waiting": 1})

        await eventually_async(one_waits)
        second.cancel()

        async def none_waits() -> bool:
            return bool((await stack.health())["requests"] == {"running": 1, "waiting": 0})

        await eventually_async(none_waits)
        first.cancel()
        await idle_after(stack, await stack.stats(), cancelled=1)


async def test_whoever_leaves_the_workers_queue_is_never_run(worker: str) -> None:
    async with running_stack(worker, max_running=2) as stack:
        first = stack.asking()
        await stack.working()
        second = stack.asking()

        async def one_waits() -> bool:
            stats = await stack.stats()
            return (stats.running_requests, stats.queued_requests) == (1, 1)

        await eventually_async(one_waits)
        second.cancel()

        async def none_waits() -> bool:
            stats = await stack.stats()
            return (stats.running_requests, stats.queued_requests) == (1, 0)

        await eventually_async(none_waits)
        first.cancel()
        await idle_after(stack, await stack.stats(), cancelled=2)


async def idle_after(stack: Stack, left: pb.GetStatsResponse, *, cancelled: int) -> None:
    """Waits until nothing runs any more; what ran after the client left must be next to nothing."""

    async def idle() -> bool:
        stats = await stack.stats()
        return (stats.running_requests, stats.queued_requests) == (0, 0)

    await eventually_async(idle)
    stats = await stack.stats()
    assert stats.cancelled_requests_total - stack.before.cancelled_requests_total == cancelled
    assert stats.finished_requests_total == 0
    assert stats.forward_passes_total - left.forward_passes_total <= PASSES_AFTER_LEAVING
    assert (await stack.health())["requests"] == {"running": 0, "waiting": 0}
