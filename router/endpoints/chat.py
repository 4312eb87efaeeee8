"""POST /v1/chat/completions: from messages to a reply, whole or as it is denoised."""

import asyncio

import structlog
from aiohttp import web

from router.body import read_body
from router.errors import DrainingError, InternalError, RouterError, answer_to, body_of
from router.generation import Updates
from router.job import canvas_positions, job_for
from router.reply import Reply, StreamedReply
from router.schema import parse_chat_request
from router.services import FACTS, REQUEST_ID, SERVICES
from router.sse import EventStream, json_text
from textdiffusion.v1.textdiffusion_pb2 import GenerateResponse, GenerateUpdate

log = structlog.get_logger(__name__)

LAST_WORDS_SECONDS = 1.0  # for a reader to be told that the deadline has passed


async def chat_completions(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    if services.draining:
        raise DrainingError
    clock = asyncio.get_running_loop().time
    deadline = clock() + services.settings.request_timeout_seconds
    chat = parse_chat_request(await read_body(request, services.settings.request_timeout_seconds))
    model = services.pool.model(chat.model)
    messages = [message.for_template() for message in chat.messages]
    prompt = await model.tokenizer.encode(messages, model.max_sequence_length)
    job = job_for(chat, prompt, model, request[REQUEST_ID])
    request[FACTS].update(model=model.id, stream=chat.stream, prompt_tokens=len(prompt))

    arrived = clock()
    async with services.admission.slot(deadline - arrived):
        with services.pool.lease(model, canvas_positions(job)) as worker:
            request[FACTS].update(worker=worker.address, queued_milliseconds=round((clock() - arrived) * 1000, 1))
            seconds = deadline - clock()
            if chat.stream:
                include_usage = chat.stream_options is not None and chat.stream_options.include_usage
                reply = StreamedReply(model, include_usage=include_usage, ignore_eos=chat.ignore_eos)
                return await _stream(request, worker.generate_stream(job, seconds), reply, seconds)
            finished = await worker.generate(job, seconds)
            _note(request, finished)
            return web.json_response(Reply(model).whole(finished), dumps=json_text)


async def _stream(request: web.Request, updates: Updates, reply: StreamedReply, seconds: float) -> web.StreamResponse:
    """The worker keeps to the deadline; a client that does not read would hold its slot beyond it."""
    try:
        return await asyncio.wait_for(_send_reply(request, updates, reply), max(seconds, 0) + LAST_WORDS_SECONDS)
    except asyncio.TimeoutError as error:
        request[FACTS]["error"] = "reader_stalled"
        if request.transport:
            request.transport.abort()  # closing would wait for the reader
        raise ConnectionAbortedError from error
    finally:
        updates.close()


async def _send_reply(request: web.Request, updates: Updates, reply: StreamedReply) -> web.StreamResponse:
    stream = EventStream()
    first = await updates.next()  # until the worker has begun, a failure still has a status of its own
    await stream.open(request)
    try:
        await stream.send(reply.opening())
        finished = await _relay(first, request, updates, reply, stream)
        for chunk in reply.closing(finished):
            await stream.send(chunk)
        _note(request, finished)
    except RouterError as error:
        await _send_error(request, stream, error)
    except ConnectionError:
        raise
    except Exception:
        log.exception("unexpected error")
        await _send_error(request, stream, InternalError())
    await stream.close()
    return stream.response


async def _relay(
    update: GenerateUpdate | None, request: web.Request, updates: Updates, reply: StreamedReply, stream: EventStream
) -> GenerateResponse:
    """Sends what becomes readable, update by update, up to the one that ends the reply."""
    while True:
        if update is None:
            await stream.keep_alive()
        else:
            text = reply.text_of(update)
            if text:
                await stream.send(reply.piece(text))
            if update.HasField("finished"):
                return update.finished
        update = await updates.next(request.app[SERVICES].keep_alive_seconds)


async def _send_error(request: web.Request, stream: EventStream, error: RouterError) -> None:
    request[FACTS]["error"] = answer_to(error).code
    await stream.send(body_of(error))


def _note(request: web.Request, finished: GenerateResponse) -> None:
    request[FACTS].update(
        completion_tokens=finished.usage.completion_tokens, forward_passes=finished.usage.forward_passes
    )
