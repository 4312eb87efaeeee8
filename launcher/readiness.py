"""Waits until a child can do its work. That it runs, or that its socket is there, does not say so."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from textdiffusion.rpc import CHANNEL_OPTIONS, SERVICE_NAME
from textdiffusion.tasks import cancelled

POLL_SECONDS = 0.1
ATTEMPT_SECONDS = 2.0
# Until the child listens every attempt to connect fails; the usual backoff would add seconds to each start.
OPTIONS = [*{**dict(CHANNEL_OPTIONS), "grpc.max_reconnect_backoff_ms": 200}.items()]


class WorkerRefusedError(Exception):
    """The router reaches a worker and will not use it; waiting would change nothing."""


async def worker_serving(address: str) -> None:
    """Returns once the worker at `address` reports SERVING for its service."""
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                reply = await health.Check(request, timeout=ATTEMPT_SECONDS)
            except grpc.aio.AioRpcError:
                reply = None
            if reply and reply.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(POLL_SECONDS)


async def router_ready(url: str, workers: Mapping[str, str]) -> None:
    """Returns once the router at `url` is ready and uses all of `workers`, which maps their addresses to names.

    To the router itself one worker is enough. Raises `WorkerRefusedError`.
    """
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            if await _uses_all(session, f"{url}/health", workers):
                return
            await asyncio.sleep(POLL_SECONDS)


async def _uses_all(session: aiohttp.ClientSession, url: str, workers: Mapping[str, str]) -> bool:
    try:
        async with session.get(url) as response:
            health = await response.json()
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False
    seen = {worker["address"]: worker for worker in health["workers"]}
    for address, name in workers.items():
        if address in seen and seen[address]["state"] == "refused":
            raise WorkerRefusedError(f"the router refuses {name}: {seen[address]['reason']}")
    serving = {address for address, worker in seen.items() if worker["state"] == "serving"}
    return health["status"] == "ready" and serving.issuperset(workers)


async def within(
    seconds: float,
    ready: Coroutine[Any, Any, None],
    heard_at: Callable[[], float],
    still_waiting: Callable[[float], None],
    every: float = 10,
) -> bool:
    """Whether `ready` returned before `seconds` went by without a sign of life.

    `heard_at` says when there was the last one, by the clock of the event loop; `still_waiting` is called with the
    seconds that have passed in all, `every` so many of them.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    task = asyncio.create_task(ready)
    try:
        while (left := max(started, heard_at()) + seconds - clock()) > 0:
            done, _ = await asyncio.wait({task}, timeout=min(every, left))
            if done:
                task.result()
                return True
            if left > every:
                still_waiting(clock() - started)
        return False
    finally:
        await cancelled(task)
