"""From a validated request to the last byte of its reply, whole or as it is denoised.

Each choice of a reply is a job of its own: it waits for its slot, has its worker, and writes its own pieces. The slot
is free again, and the worker's work over, when the choice has been told to its end or nobody is there to be told.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog
from aiohttp import web

from router.account import Account
from router.admission import Ticket
from router.errors import (
    BadWorkerResponseError,
    DrainingError,
    InternalError,
    RouterError,
    body_of,
)
from router.http.body import read_body
from router.http.limits import charge_tokens
from router.http.sse import EventStream, abandon, json_text
from router.jobs import Job, Prompt, jobs_for
from router.replies.canvas import canvas_after
from router.replies.reading import Piece, Reading
from router.replies.reply import Reply
from router.replies.usage import Usage, total
from router.schema.generation import GenerationRequest
from router.schema.parsing import parse_body
from router.services import FACTS, REQUEST_ID, SERVICES
from router.tracing import SPAN, calling, tell_end, tell_request
from router.workers.model import Model
from textdiffusion.tasks import cancelled, together
from textdiffusion.v1 import textdiffusion_pb2 as pb

R = TypeVar("R", bound=GenerationRequest)
log = structlog.get_logger(__name__)

MOST_TOLD_INLINE = 256  # tokens with log probabilities; more would hold up the event loop
LAST_WORDS_SECONDS = 1.0  # for a reader to be told that the deadline has passed

Work = Sequence[tuple[Job, Ticket]]
Tell = Callable[[Job, pb.GenerateUpdate, Piece], Awaitable[None]]


async def generate(
    request: web.Request,
    kind: type[R],
    prompts_of: Callable[[R, Model], Awaitable[Sequence[Prompt]]],
    reply_to: Callable[[Model, R], Reply],
) -> web.StreamResponse:
    """Raises a `RouterError` as long as nothing has been sent.

    The place in the queue comes before the tokens: a server that is full should not tokenize for those it refuses.
    """
    services = request.app[SERVICES]
    if services.draining:
        raise DrainingError
    deadline = _now() + services.settings.request_timeout_seconds
    asked = await parse_body(kind, await read_body(request))
    model = services.pool.model(asked.model)
    request[FACTS]["stream"] = asked.stream
    tell_request(request[SPAN], asked)
    account = Account(services.metrics, request[FACTS], model.id, asked.choices, time.monotonic)
    with account.kept(), services.queues.of(model.id).tickets(asked.choices) as tickets:
        jobs = jobs_for(asked, await prompts_of(asked, model), model, request[REQUEST_ID])
        charge_tokens(request, sum(job.positions for job in jobs))
        generation = Generation(request, asked, model, account, deadline=deadline)
        return await generation.answer(list(zip(jobs, tickets, strict=True)), reply_to(model, asked))


class Generation:
    """One request for text, once it is known what workers are to be asked."""

    def __init__(
        self, request: web.Request, asked: GenerationRequest, model: Model, account: Account, *, deadline: float
    ) -> None:
        """`deadline` is by the event loop's clock."""
        self._request = request
        self._services = request.app[SERVICES]
        self._asked = asked
        self._model = model
        self._account = account
        self._deadline = deadline

    async def answer(self, work: Work, reply: Reply) -> web.StreamResponse:
        """Raises a `RouterError` as long as nothing has been sent."""
        if not self._asked.stream:
            return await self._whole(work, reply)
        # `asyncio.wait_for` would lose, and have logged, what is raised while it cancels.
        streaming = asyncio.create_task(self._stream(work, reply))
        try:
            await asyncio.wait({streaming}, timeout=max(self._seconds_left, 0) + LAST_WORDS_SECONDS)
            if streaming.done():
                return await streaming
        finally:
            await cancelled(streaming)
        abandon(self._request)  # the worker keeps to the deadline; a client may not read
        raise ConnectionAbortedError

    async def _whole(self, work: Work, reply: Reply) -> web.Response:
        told: list[list[Piece]] = [[] for _ in work]

        async def keep(job: Job, _: pb.GenerateUpdate, piece: Piece) -> None:
            told[job.index].append(piece)

        usage = await self._run(work, keep)
        choices = [_joined(pieces) for pieces in told]
        body = partial(_body, reply, choices, usage)
        large = sum(len(choice.tokens) for choice in choices) > MOST_TOLD_INLINE
        return web.Response(text=await asyncio.to_thread(body) if large else body(), content_type="application/json")

    async def _stream(self, work: Work, reply: Reply) -> web.StreamResponse:
        async with EventStream(self._request, self._services.keep_alive_seconds) as stream:
            try:
                usage = await self._run(work, Teller(stream, reply, self._model, self._asked))
            except RouterError as error:
                return await self._end_with(error, stream)
            except ConnectionError:
                raise
            except Exception:
                log.exception("unexpected error")
                return await self._end_with(InternalError(), stream)
            return await stream.end(*([reply.usage_chunk(usage)] if self._asked.include_usage else []))

    async def _end_with(self, error: RouterError, stream: EventStream) -> web.StreamResponse:
        """Raises it where it can still have a status of its own."""
        if not stream.opened:
            raise error
        self._account.lost(error)
        return await stream.end(body_of(error))

    async def _run(self, work: Work, tell: Tell) -> Usage:
        """Has all choices denoised; the first failure ends the others and is raised."""
        usages = await together(*(self._denoise(job, ticket, tell) for job, ticket in work))
        prompts = {id(job.prompt): job.prompt for job, _ in work}.values()
        usage = total([*usages, Usage(prompt_tokens=sum(prompt.length for prompt in prompts))])
        self._account.cost(usage)
        return usage

    async def _denoise(self, job: Job, ticket: Ticket, tell: Tell) -> Usage:
        reading = self._reading(job)
        async with ticket.slot(self._patience(job)):
            self._account.admitted(ticket)
            with (
                self._services.pool.lease(self._model, job.positions) as worker,
                calling(self._request, job, worker, ticket.waited) as call,
            ):
                self._request[FACTS].setdefault("worker", worker.address)
                stepwise = self._asked.stream or bool(self._asked.stop)
                updates = worker.denoise(job.request, self._seconds_left, stepwise=stepwise, trace=call.headers)
                try:
                    async for update in updates:
                        piece = reading.push(update)
                        if piece.text and self._asked.stream:
                            self._account.begun()
                        await tell(job, update, piece)
                        if piece.finish_reason:
                            ticket.served = True
                            self._account.finished(job, piece.finish_reason, reading.usage)
                            tell_end(call, reading)
                            return reading.usage
                finally:
                    updates.close()
        raise BadWorkerResponseError

    def _patience(self, job: Job) -> float:
        """Seconds in which a choice has to have a slot; once the first has one, the others follow when they can."""
        most = self._services.settings.queue_timeout_seconds if job.index == 0 else self._seconds_left
        return min(most, self._seconds_left)

    @property
    def _seconds_left(self) -> float:
        return self._deadline - _now()

    def _reading(self, job: Job) -> Reading:
        return Reading(
            self._model.tokenizer,
            () if self._asked.ignore_eos else self._model.end_ids,
            self._asked.stop or (),
            before=job.prompt.ids if job.prompt.continued else (),
            token_by_token=bool(self._asked.stop) or self._asked.alternatives is not None,
        )


class Teller:
    """Sends what becomes readable of each choice."""

    def __init__(self, stream: EventStream, reply: Reply, model: Model, asked: GenerationRequest) -> None:
        self._stream = stream
        self._reply = reply
        self._model = model
        self._asked = asked
        self._begun: set[int] = set()

    async def __call__(self, job: Job, update: pb.GenerateUpdate, piece: Piece) -> None:
        events = []
        if job.index not in self._begun:
            self._begun.add(job.index)
            events += self._reply.opening(job.index)
        if self._asked.diffusing or piece.text or piece.tokens or piece.finish_reason:
            events.append(self._reply.chunk(job.index, piece))
        if self._asked.diffusing:
            canvas = canvas_after(update, self._model, self._asked.alternatives or 0)
            *first, last = [{**event, "canvas": canvas} for event in events]
            # What a step committed is told once.
            events = [*({**event, "canvas": {**canvas, "committed": []}} for event in first), last]
        await self._stream.send(*events)


def _body(reply: Reply, choices: Sequence[Piece], usage: Usage) -> str:
    return json_text(reply.whole(choices, usage))


def _joined(pieces: Sequence[Piece]) -> Piece:
    """A whole choice."""
    tokens = [token for piece in pieces for token in piece.tokens]
    return Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish_reason)


def _now() -> float:
    return asyncio.get_running_loop().time()
