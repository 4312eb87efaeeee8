"""The calls of workers that one request costs: one for each choice, and another for each whose worker was lost.

A worker that dies costs a client nothing but time as long as the client has heard nothing of the choice: another worker
begins it anew. Only UNAVAILABLE says that a worker is lost. What a worker failed by itself would fail on the next one
too, and cost that one its time.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
import structlog
from aiohttp import web

from router.account import Account
from router.admission import Ticket
from router.endpoints.telling import Listener
from router.errors import BadWorkerResponseError, ClientError, NoHealthyWorkersError, RouterError
from router.jobs import Job
from router.replies.reading import Reading
from router.replies.usage import Usage
from router.schema.generation import GenerationRequest
from router.services import FACTS, SERVICES
from router.tracing import calling, tell_end
from router.workers.breaker import Call
from router.workers.model import Model
from router.workers.pool import Pool
from router.workers.updates import status_of, was_begun
from router.workers.worker import Worker

log = structlog.get_logger(__name__)

MOST_RETRIES: Final = 2
MOST_BEGUN: Final = 2  # by workers that were then lost: it may be what they die of, and is not to end all of them


@dataclass(frozen=True, slots=True)
class Denoising:
    """All choices of one request, at however many workers; `deadline` is by the event loop's clock, and one for all."""

    request: web.Request
    asked: GenerationRequest
    model: Model
    account: Account
    deadline: float

    @property
    def seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    async def run(self, job: Job, ticket: Ticket, listener: Listener) -> Usage:
        """Has one choice denoised by as many workers as it takes, while it has its slot. Raises a `RouterError`."""
        self._pool.retries.earn()
        lost: dict[Worker, RouterError] = {}
        worker = self._pool.choose(self.model)
        while True:
            try:
                with self._pool.lease(worker, job.positions) as judged:
                    return await self._attempt(job, ticket, listener, worker, judged, retry=len(lost))
            except ClientError as error:
                if error.param is not None:  # the worker's name for it
                    own = self.asked.field_of_worker(error.param)
                    error.call_param(job.prompt.field if own == "prompt" else own)
                raise
            except RouterError as error:
                lost[worker] = error
                other = self._worker_for_retry(job, listener, error, lost)
                if other is None:
                    raise
            log.warning("retrying at another worker", choice=job.index, lost=worker.address, worker=other.address)
            self._pool.retries.spend()
            listener.forget(job)
            self.account.retried()
            self.request[FACTS]["worker"] = other.address
            worker = other

    def _worker_for_retry(
        self, job: Job, listener: Listener, error: RouterError, lost: Mapping[Worker, RouterError]
    ) -> Worker | None:
        """Chooses another worker if the choice may begin anew; last of all, as choosing one takes its turn."""
        if status_of(error) is not grpc.StatusCode.UNAVAILABLE or self.seconds_left <= 0:
            return None
        if len(lost) > MOST_RETRIES or sum(map(was_begun, lost.values())) >= MOST_BEGUN:
            return None
        if not (listener.may_begin_anew(job) and self._pool.retries.affordable):
            return None
        try:
            return self._pool.choose(self.model, avoiding=lost)
        except NoHealthyWorkersError:
            return None

    async def _attempt(
        self, job: Job, ticket: Ticket, listener: Listener, worker: Worker, judged: Call, *, retry: int
    ) -> Usage:
        reading = self._reading(job)
        with calling(self.request, job, worker, ticket.waited, retry=retry) as call:
            self.request[FACTS].setdefault("worker", worker.address)
            stepwise = self.asked.stream or bool(self.asked.stop)
            updates = worker.denoise(job.request, self.seconds_left, stepwise=stepwise, trace=call.headers)
            try:
                async for update in updates:
                    judged.answered()
                    piece = reading.push(update)
                    if piece.text and self.asked.stream:
                        self.account.begun()
                    await listener.tell(job, update, piece, reading.usage)
                    if piece.finish_reason:
                        ticket.served = True
                        self.account.finished(job, piece.finish_reason, reading.usage)
                        tell_end(call, reading)
                        return reading.usage
            finally:
                updates.close()
        raise BadWorkerResponseError

    def _reading(self, job: Job) -> Reading:
        return Reading(
            self.model.tokenizer,
            () if self.asked.ignore_eos else self.model.end_ids,
            self.asked.stop or (),
            before=job.prompt.ids if job.prompt.continued else (),
            token_by_token=bool(self.asked.stop) or self.asked.alternatives is not None,
        )

    @property
    def _pool(self) -> Pool:
        return self.request.app[SERVICES].pool
