"""How a process is doing, as it says itself. That it runs, or that its socket is there, does not say so."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from textdiffusion.rpc import CHANNEL_OPTIONS, SERVICE_NAME
from textdiffusion.v1.textdiffusion_pb2 import GetStatsRequest
from textdiffusion.v1.textdiffusion_pb2_grpc import TextGenerationServiceStub

if TYPE_CHECKING:
    from textdiffusion.v1.textdiffusion_pb2_grpc import TextGenerationServiceAsyncStub  # it is but a type

ANSWER_SECONDS = 2.0
LOAD_SECONDS = 0.3  # whoever asks how all processes are does not wait for one that hangs
PROCESS = ""  # what the health service calls the process as a whole
# Until the child listens every attempt to connect fails; the usual backoff would add seconds to each start.
OPTIONS = [*{**dict(CHANNEL_OPTIONS), "grpc.max_reconnect_backoff_ms": 200}.items()]


class Load(NamedTuple):
    """Requests of a process."""

    running: int
    waiting: int


class Health(Protocol):
    """What is asked of every process; an answer that does not come in time is a no."""

    async def serves(self) -> bool:
        """Whether it can do its work."""

    async def lives(self) -> bool:
        """Whether it is to be left alone: it stays true while it drains."""

    async def load(self) -> Load | None:
        """The requests that it has; none if it does not say."""

    async def close(self) -> None: ...


class WorkerHealth:
    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._worker: TextGenerationServiceAsyncStub = TextGenerationServiceStub(self._channel)

    async def serves(self) -> bool:
        return await self._is_serving(SERVICE_NAME)

    async def lives(self) -> bool:
        return await self._is_serving(PROCESS)

    async def load(self) -> Load | None:
        try:
            stats = await self._worker.GetStats(GetStatsRequest(), timeout=LOAD_SECONDS)
        except grpc.aio.AioRpcError:
            return None
        return Load(stats.running_requests, stats.queued_requests)

    async def close(self) -> None:
        await self._channel.close()

    async def _is_serving(self, service: str) -> bool:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = await self._health.Check(request, timeout=ANSWER_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


class RouterHealth:
    """Asks on the router's control socket, which it opens as soon as it accepts requests."""

    def __init__(self, control: Path) -> None:
        self._session = aiohttp.ClientSession(
            "http://router",
            # A router that is relieved waits for its clients to leave; this one must not be who keeps it.
            connector=aiohttp.UnixConnector(path=str(control), force_close=True),
        )

    async def serves(self) -> bool:
        return await self._answer("/health/live") is not None

    async def lives(self) -> bool:
        return await self.serves()

    async def load(self) -> Load | None:
        details = await self._answer("/health", LOAD_SECONDS)
        return Load(**details["requests"]) if details else None

    async def details(self) -> Mapping[str, Any] | None:
        """What GET /health says; none if it does not answer."""
        return await self._answer("/health")

    async def close(self) -> None:
        await self._session.close()

    async def _answer(self, path: str, seconds: float = ANSWER_SECONDS) -> Mapping[str, Any] | None:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.get(path, timeout=timeout, raise_for_status=True) as response:
                answer: Mapping[str, Any] = await response.json()
                return answer
        except (TimeoutError, aiohttp.ClientError, ValueError, OSError):
            return None
