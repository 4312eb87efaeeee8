"""From a validated request to the last byte of its reply, whole or as it is generated."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import structlog
from aiohttp import web

from router.errors import DrainingError, InternalError, RouterError, body_of
from router.generation.call import GenerationCall, Prompt
from router.generation.output import ChoiceDelta
from router.generation.recorder import LogObserver, MetricsObserver, RequestRecorder, TraceObserver
from router.generation.usage import Usage
from router.http.body import read_body
from router.http.limits import charge_tokens
from router.http.sse import EventStream, abandon, json_text
from router.replies.reply import Responder
from router.schema.generation import GenerationRequest
from router.schema.parsing import parse_body
from router.services import FACTS, REQUEST_ID, SERVICES
from router.tracing import SPAN, tell_request
from router.workers.model import Model
from textdiffusion.tasks import cancelled

R = TypeVar("R", bound=GenerationRequest)
log = structlog.get_logger(__name__)

MAX_TOLD_INLINE = 256  # tokens with log probabilities; more would hold up the event loop
LAST_WORDS_SECONDS = 1.0  # for a reader to be told that the deadline has passed


async def generate(
    request: web.Request,
    kind: type[R],
    prompts_of: Callable[[R, Model], Awaitable[Sequence[Prompt]]],
    responder: Callable[[Model, R], Responder],
) -> web.StreamResponse:
    """Answer a request for text. Raises a `RouterError` as long as nothing has been sent."""
    services = request.app[SERVICES]
    if services.draining:
        raise DrainingError
    deadline = asyncio.get_running_loop().time() + services.settings.request_timeout_seconds
    asked = await parse_body(kind, await read_body(request))
    model = services.pool.model(asked.model)
    request[FACTS]["stream"] = asked.stream
    tell_request(request[SPAN], asked)
    call = build_call(
        asked,
        model,
        partial(prompts_of, asked, model),
        request_id=request[REQUEST_ID],
        deadline=deadline,
        charge=partial(charge_tokens, request),
    )
    reply = Reply(request, call, responder(model, asked))
    return await (reply.stream() if asked.stream else reply.whole())


def build_call(
    asked: GenerationRequest,
    model: Model,
    encode_prompts: Callable[[], Awaitable[Sequence[Prompt]]],
    *,
    request_id: str,
    deadline: float,
    charge: Callable[[int], None] = lambda _: None,
) -> GenerationCall:
    return GenerationCall(
        request_id=request_id,
        model=model,
        encode_prompts=encode_prompts,
        deadline=deadline,
        n=asked.n,
        choices=asked.choices,
        options=asked.options,
        defaults=asked.own_defaults,
        stop=asked.stop or (),
        include_stop=asked.include_stop_str_in_output,
        special_tokens=not asked.skip_special_tokens,
        alternatives=asked.alternatives,
        stream=asked.stream,
        report_canvas=asked.diffusing,
        charge=charge,
        field_of_worker=asked.field_of_worker,
    )


class Reply:
    """The reply to one request, once it is known what is asked of which model."""

    def __init__(self, request: web.Request, call: GenerationCall, responder: Responder) -> None:
        services = request.app[SERVICES]
        observers = (
            MetricsObserver(services.metrics, call.model.id),
            LogObserver(request[FACTS], call.model.id, call.choices),
            TraceObserver(request[SPAN]),
        )
        self._request = request
        self._call = call
        self._responder = responder
        self._keep_alive_seconds = services.settings.keep_alive_seconds
        self._recorder = RequestRecorder(observers, choices=call.choices)
        self._generation = services.generation

    async def whole(self) -> web.Response:
        async with aclosing(self._generation.generate(self._call, self._recorder)) as deltas:
            told = [delta async for delta in deltas]
        choices = sorted(told, key=lambda delta: delta.index)
        body = partial(self._body, choices, told[-1].usage)
        large = sum(len(choice.tokens) for choice in choices) > MAX_TOLD_INLINE
        return web.Response(text=await asyncio.to_thread(body) if large else body(), content_type="application/json")

    async def stream(self) -> web.StreamResponse:
        # `asyncio.wait_for` would lose, and have logged, what is raised while it cancels.
        streaming = asyncio.create_task(self._stream())
        try:
            left = self._call.deadline - asyncio.get_running_loop().time()
            await asyncio.wait({streaming}, timeout=max(left, 0) + LAST_WORDS_SECONDS)
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

    async def _stream(self) -> web.StreamResponse:
        async with EventStream(self._request, self._keep_alive_seconds) as stream:
            try:
                usage = await self._send_deltas(stream)
            except RouterError as error:
                return await self._end_with(error, stream)
            except ConnectionError:
                raise
            except Exception:
                log.exception("unexpected error")
                return await self._end_with(InternalError(), stream)
            return await stream.end(*self._responder.last_events(usage))

    async def _send_deltas(self, stream: EventStream) -> Usage:
        usage = Usage()
        async with aclosing(self._generation.generate(self._call, self._recorder)) as deltas:
            async for delta in deltas:
                usage = delta.usage
                try:
                    await stream.send(*self._responder.events(delta))
                except Exception as error:
                    self._recorder.failed(error)
                    raise
        return usage

    async def _end_with(self, error: RouterError, stream: EventStream) -> web.StreamResponse:
        """Raise it where it can still have a status of its own."""
        if not stream.opened:
            raise error
        self._recorder.failed(error)
        return await stream.end(body_of(error))

    def _body(self, choices: Sequence[ChoiceDelta], usage: Usage) -> str:
        return json_text(self._responder.body(choices, usage))
