"""What all workers say of themselves, asked at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import structlog

from router.workers.worker import Worker, WorkerState
from textdiffusion.v1.textdiffusion_pb2 import GetInfoResponse, GetStatsResponse

log = structlog.get_logger(__name__)

STATS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One worker at one moment; no `stats` if it did not tell them in time, no `info` until it has first told it."""

    number: int
    address: str
    state: WorkerState
    info: GetInfoResponse | None
    stats: GetStatsResponse | None
    breaker_open: bool = False

    @property
    def model(self) -> str:
        """What it serves; empty while nobody knows."""
        return self.info.model_id if self.info else ""


async def take_snapshots(workers: Sequence[Worker], seconds: float = STATS_SECONDS) -> list[WorkerSnapshot]:
    """Of all `workers`, in their order; takes no longer than `seconds`, whatever they do."""
    answers = await asyncio.gather(*(_stats(worker, seconds) for worker in workers))
    return [
        WorkerSnapshot(
            number=worker.number,
            address=worker.address,
            state=worker.state,
            info=worker.info,
            stats=stats,
            breaker_open=worker.breaker.is_open,
        )
        for worker, stats in zip(workers, answers, strict=True)
    ]


async def _stats(worker: Worker, seconds: float) -> GetStatsResponse | None:
    if worker.state is WorkerState.UNREACHABLE:  # it would only cost the time that it does not answer in
        return None
    try:
        return await worker.stats(seconds)
    except grpc.aio.UsageError:  # it has left since it was asked for
        return None
    except grpc.aio.AioRpcError as error:
        log.debug("no stats", address=worker.address, code=error.code().name, details=error.details())
        return None
