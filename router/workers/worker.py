"""One worker process, seen from the router: its channel, its health, and what it says it serves."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.errors import RouterError
from router.workers.breaker import Breaker, Call, Clock
from router.workers.line import Line
from router.workers.updates import Updates, status_of
from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.v1.textdiffusion_pb2 import (
    GenerateRequest,
    GetInfoRequest,
    GetInfoResponse,
    GetStatsRequest,
    GetStatsResponse,
)
from textdiffusion.v1.textdiffusion_pb2_grpc import TextGenerationServiceStub

if TYPE_CHECKING:
    from textdiffusion.v1.textdiffusion_pb2_grpc import TextGenerationServiceAsyncStub  # it is but a type

log = structlog.get_logger(__name__)

INFO_SECONDS = 5.0
RETRY_SECONDS = 0.5
REFUSED_SECONDS = 5.0
MOST_SECONDS_TO_FINISH: Final = 86400.0  # no request may take longer
NEVER_CONNECTED: Final = "not connected yet"

# What is the worker's fault, and neither the request's nor that of a client who left. A request whose time runs out may
# have asked for too much, or have waited for long; a worker that is stuck says by itself that it is not healthy.
FAULTS: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)


class WorkerRefusedError(Exception):
    """The worker is healthy, but this router must not use it."""


class WorkerState(Enum):
    UNREACHABLE = "unreachable"
    NOT_SERVING = "not serving"  # loading its model, or draining
    SERVING = "serving"
    REFUSED = "refused"


LEVELS: Final = MappingProxyType({WorkerState.REFUSED: logging.ERROR, WorkerState.UNREACHABLE: logging.WARNING})


class Worker:
    def __init__(
        self,
        line: Line,
        number: int = 0,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """`number` is what the metrics call it; `on_change` is called whenever its state has changed."""
        self.address = line.address
        self.number = number
        self.breaker = Breaker(clock)
        self.state = WorkerState.UNREACHABLE
        self.info: GetInfoResponse | None = None
        self._reason = NEVER_CONNECTED
        self._on_change = on_change
        self._line = line
        self._stub: TextGenerationServiceAsyncStub = TextGenerationServiceStub(line.channel)
        self._health = health_pb2_grpc.HealthStub(line.channel)

    @property
    def reason(self) -> str:
        """Why it does not serve or, if it says that it does, why it gets no requests."""
        if self.state is WorkerState.SERVING and self.breaker.is_open:
            return "it failed its last requests, and gets one at a time until it answers it"
        return self._reason

    @property
    def places(self) -> int:
        """How many requests it runs at once; one, if it does not say."""
        return max(self.info.max_concurrent_requests, 1) if self.info else 0

    @property
    def heard_of(self) -> bool:
        """Whether it is known if it serves; one that cannot be reached is known not to."""
        return (
            self._reason != NEVER_CONNECTED
            or self._line.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        )

    def may_serve(self, model_id: str) -> bool:
        """Whether this worker says that it serves the model, or has not said yet what it serves."""
        return self.info is None or self.info.model_id == model_id

    async def follow(self, admit: Callable[[GetInfoResponse], Awaitable[None]]) -> NoReturn:
        """Watches the worker's health for ever; `admit` may raise `WorkerRefusedError` before it counts as serving."""
        while True:
            pause = RETRY_SECONDS
            try:
                await self._watch(admit)
                self.lose("the worker ended the health watch")
            except grpc.aio.AioRpcError as error:
                self.lose(self._line.explain(error))
            except WorkerRefusedError as error:
                self._become(WorkerState.REFUSED, str(error))
                pause = REFUSED_SECONDS
            except Exception as error:  # else nobody would follow it any longer, and nobody would know
                log.exception("worker cannot be followed", address=self.address)
                self.lose(f"the router failed as it followed it ({type(error).__name__}); its log says how")
                pause = REFUSED_SECONDS
            await asyncio.sleep(pause)

    def lose(self, reason: str) -> None:
        """Takes the worker for unreachable."""
        self._become(WorkerState.UNREACHABLE, reason)

    async def finish(self) -> None:
        """Takes no more calls, and returns when those that it has are over."""
        await self._line.channel.close(MOST_SECONDS_TO_FINISH)

    async def close(self) -> None:
        """Ends what calls it has."""
        await self._line.channel.close()

    @contextmanager
    def judged(self) -> Iterator[Call]:
        """Tells the breaker how a call went; the context lasts as long as the call."""
        with self.breaker.call() as call:
            try:
                yield call
            except RouterError as error:
                if status_of(error) in FAULTS:
                    call.failed()
                raise
            call.succeeded()

    def denoise(
        self, job: GenerateRequest, seconds: float, *, stepwise: bool, trace: Sequence[tuple[str, str]] = ()
    ) -> Updates:
        """Has one request denoised, within a deadline and as part of a trace; the caller closes what it gets.

        Step by step only where that is needed: a message for each step is most of what a reply costs the router.
        """
        metadata = (("x-request-id", job.request_id), *trace)
        if stepwise:
            return Updates.of_stream(self._stub.GenerateStream(job, timeout=seconds, metadata=metadata))
        return Updates.of_whole(self._stub.Generate(job, timeout=seconds, metadata=metadata))

    async def stats(self, seconds: float) -> GetStatsResponse:
        """What the worker says of itself. Raises `grpc.aio.AioRpcError`."""
        return await self._stub.GetStats(GetStatsRequest(), timeout=seconds)

    async def _watch(self, admit: Callable[[GetInfoResponse], Awaitable[None]]) -> None:
        call = self._health.Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        try:
            async for reply in call:
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    self.info = await self._stub.GetInfo(GetInfoRequest(), timeout=INFO_SECONDS)
                    await admit(self.info)
                    self._become(WorkerState.SERVING)
                else:
                    self._become(WorkerState.NOT_SERVING, "it says that it is not serving")
        finally:
            call.cancel()

    def _become(self, state: WorkerState, reason: str = "") -> None:
        if (state, reason) == (self.state, self._reason):
            return
        # A worker may be unreachable now for one reason and now for another, and nobody wants to read each of them.
        is_news = state is not WorkerState.UNREACHABLE or state is not self.state or self._reason == NEVER_CONNECTED
        self.state, self._reason = state, reason
        if state is WorkerState.SERVING:
            self.breaker.reset()
        self._on_change()
        if is_news:
            self._log()

    def _log(self) -> None:
        level = LEVELS.get(self.state, logging.INFO)
        facts = {"model": self.info.model_id if self.info else "", "reason": self._reason}
        told = {name: fact for name, fact in facts.items() if fact}
        log.log(level, "worker", address=self.address, state=self.state.value, **told)
