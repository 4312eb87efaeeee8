"""Waits until a child can do its work. That it runs, or that its socket is there, does not say so."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from launcher.tasks import cancelled
from textdiffusion.rpc import CHANNEL_OPTIONS, SERVICE_NAME

POLL_SECONDS = 0.1
ATTEMPT_SECONDS = 2.0
# Until the child listens every attempt to connect fails; the usual backoff would add seconds to each start.
OPTIONS = [*{**dict(CHANNEL_OPTIONS), "grpc.max_reconnect_backoff_ms": 200}.items()]


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


async def router_ready(url: str) -> None:
    """Returns once the router at `url` answers that it is ready."""
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            try:
                async with session.get(f"{url}/health/ready") as response:
                    ready = response.ok
            except (aiohttp.ClientError, asyncio.TimeoutError):
                ready = False
            if ready:
                return
            await asyncio.sleep(POLL_SECONDS)


async def within(
    seconds: float, ready: Coroutine[Any, Any, None], still_waiting: Callable[[float], None], every: float = 10
) -> bool:
    """Whether `ready` returned in time; calls `still_waiting` with the seconds passed, `every` so many of them."""
    clock = asyncio.get_running_loop().time
    started = clock()
    task = asyncio.create_task(ready)
    try:
        while True:
            left = started + seconds - clock()
            done, _ = await asyncio.wait({task}, timeout=min(every, left))
            if done:
                task.result()
                return True
            if left <= every:
                return False
            still_waiting(clock() - started)
    finally:
        await cancelled(task)
