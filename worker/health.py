"""What probes are told.

The process as a whole ("") is healthy once the model has run a first forward pass, and no longer when only a restart
can help: its device is broken, or a step does not end. While it drains, only the service turns NOT_SERVING: the process
must not be killed for finishing its work.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from textdiffusion.rpc import SERVICE_NAME
from worker.engine.progress import Progress

log = structlog.get_logger(__name__)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Condition:
    """All that the answers depend on."""

    loaded: bool = False
    broken: bool = False
    stalled: bool = False
    draining: bool = False

    @property
    def healthy(self) -> bool:
        return self.loaded and not (self.broken or self.stalled)

    @property
    def takes_requests(self) -> bool:
        return self.healthy and not self.draining


class Health:
    """Answers and tells those who watch, once `change` has been awaited."""

    def __init__(self) -> None:
        self.servicer = health_aio.HealthServicer()
        self.condition = Condition()

    async def change(self, **facts: bool) -> None:
        """Changes what the answers depend on; the names are those of `Condition`."""
        self.condition = replace(self.condition, **facts)
        await self.servicer.set("", SERVING if self.condition.healthy else NOT_SERVING)
        await self.servicer.set(SERVICE_NAME, SERVING if self.condition.takes_requests else NOT_SERVING)

    async def follow(self, progress: Progress, stall_seconds: float) -> None:
        """Tells, until it is cancelled, whether a step lasts longer than `stall_seconds`."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, stall_seconds / 2))
            stalled = progress.lasted > stall_seconds
            if stalled and not self.condition.stalled:
                log.error("a step does not end; not serving until it does", stall_seconds=stall_seconds)
            elif self.condition.stalled and not stalled:
                log.warning("the step has ended after all; serving again")
            if stalled != self.condition.stalled:
                await self.change(stalled=stalled)
