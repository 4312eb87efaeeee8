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
from router.endpoints.denoising import Denoising
from router.endpoints.telling import Keeper, Listener, Teller
from router.errors import (
    DrainingError,
    InternalError,
    RouterError,
    body_of,
)
from router.http.body import read_body
from router.http.limits import charge_tokens
from router.http.sse import EventStream, abandon, json_text
from router.jobs import Job, Prompt, jobs_for
from router.replies.reading import Piece
from router.replies.reply import Reply
from router.replies.usage import Usage, total
from router.schema.generation import GenerationRequest
from router.schema.parsing import parse_body
from router.services import FACTS, REQUEST_ID, SERVICES
from router.tracing import SPAN, tell_request
from router.workers.model import Model
from textdiffusion.tasks import cancelled, together

R = TypeVar("R", bound=GenerationRequest)
log = structlog.get_logger(__name__)

MOST_TOLD_INLINE = 256  # tokens with log probabilities; more would hold up the event loop
LAST_WORDS_SECONDS = 1.0  # for a reader to be told that the deadline has passed

Work = Sequence[tuple[Job, Ticket]]


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
        generation = Generation(Denoising(request, asked, model, account, deadline))
        return await generation.answer(list(zip(jobs, tickets, strict=True)), reply_to(model, asked))


class Generation:
    """One request for text, once it is known what workers are to be asked."""

    def __init__(self, denoising: Denoising) -> None:
        self._denoising = denoising
        self._request = denoising.request
        self._services = denoising.request.app[SERVICES]
        self._asked = denoising.asked
        self._account = denoising.account

    async def answer(self, work: Work, reply: Reply) -> web.StreamResponse:
        """Raises a `RouterError` as long as nothing has been sent."""
        if not self._asked.stream:
            return await self._whole(work, reply)
        # `asyncio.wait_for` would lose, and have logged, what is raised while it cancels.
        streaming = asyncio.create_task(self._stream(work, reply))
        try:
            await asyncio.wait({streaming}, timeout=max(self._denoising.seconds_left, 0) + LAST_WORDS_SECONDS)
            if streaming.done():
                return streaming.result()
        except asyncio.CancelledError:
            await cancelled(streaming)
            if streaming.cancelled() or streaming.exception():
                raise
            return streaming.result()  # the client has left with the whole reply
        await cancelled(streaming)
        abandon(self._request)  # the worker keeps to the deadline; a client may not read
        raise ConnectionAbortedError

    async def _whole(self, work: Work, reply: Reply) -> web.Response:
        keeper = Keeper(len(work))
        usage = await self._run(work, keeper)
        choices = keeper.choices
        body = partial(_body, reply, choices, usage)
        large = sum(len(choice.tokens) for choice in choices) > MOST_TOLD_INLINE
        return web.Response(text=await asyncio.to_thread(body) if large else body(), content_type="application/json")

    async def _stream(self, work: Work, reply: Reply) -> web.StreamResponse:
        async with EventStream(self._request, self._services.settings.keep_alive_seconds) as stream:
            try:
                teller = Teller(stream, reply, self._denoising.model, self._asked, _prompt_tokens(work))
                usage = await self._run(work, teller)
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

    async def _run(self, work: Work, listener: Listener) -> Usage:
        """Has all choices denoised; the first failure ends the others and is raised."""
        usages = await together(*(self._denoise(job, ticket, listener) for job, ticket in work))
        usage = total([*usages, Usage(prompt_tokens=_prompt_tokens(work))])
        self._account.cost(usage)
        return usage

    async def _denoise(self, job: Job, ticket: Ticket, listener: Listener) -> Usage:
        async with ticket.slot(self._patience(job)):
            self._account.admitted(ticket)
            return await self._denoising.run(job, ticket, listener)

    def _patience(self, job: Job) -> float:
        """Seconds in which a choice has to have a slot; once the first has one, the others follow when they can."""
        most = self._services.settings.queue_timeout_seconds if job.index == 0 else self._denoising.seconds_left
        return min(most, self._denoising.seconds_left)


def _prompt_tokens(work: Work) -> int:
    """Tokens of the prompts, each once."""
    prompts = {id(job.prompt): job.prompt for job, _ in work}.values()
    return sum(prompt.length for prompt in prompts)


def _body(reply: Reply, choices: Sequence[Piece], usage: Usage) -> str:
    return json_text(reply.whole(choices, usage))


def _now() -> float:
    return asyncio.get_running_loop().time()
