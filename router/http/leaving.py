"""How a router that leaves parts from its clients: they are told in time, and nobody's request ends without a word."""

import asyncio
from typing import Final, cast

from aiohttp import web

from router.errors import DrainingError, answer_to, body_of
from router.http.middleware import Handler
from router.http.sse import DONE, encoded
from router.services import FACTS, SERVICES

LAST_WORDS_SECONDS: Final = 1.0  # for clients to be told that the time of their requests is over


class Unfinished:
    """The requests that are being answered now."""

    def __init__(self) -> None:
        self.ended = False
        self._tasks: set[asyncio.Task[object]] = set()

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._tasks.add(task)
        try:
            return await handler(request)
        finally:
            self._tasks.remove(task)

    def end(self) -> None:
        """Their time is over."""
        self.ended = True
        for task in self._tasks:
            task.cancel()


UNFINISHED = web.AppKey("unfinished", Unfinished)
OPENED = web.RequestKey("opened", web.StreamResponse)


@web.middleware
async def end_in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A request whose time is over is answered that the server shuts down: by a status or, in a stream, by an event."""
    unfinished = request.app[UNFINISHED]
    try:
        return await unfinished.answer(request, handler)
    except asyncio.CancelledError:
        if not unfinished.ended or request.transport is None:  # the client has left
            raise
    if OPENED not in request:
        raise DrainingError
    return await _end_stream(request, request[OPENED])


async def part_from_clients(request: web.Request, response: web.StreamResponse) -> None:
    """Runs as any response is about to be sent. The next request of its sender is to find another router."""
    services = request.app[SERVICES]
    if services.leaving or services.draining:
        response.headers["Connection"] = "close"
        response.force_close()
    request[OPENED] = response


async def _end_stream(request: web.Request, stream: web.StreamResponse) -> web.StreamResponse:
    error = DrainingError()
    request[FACTS]["error"] = answer_to(error).name
    await stream.write_eof(encoded(body_of(error)) + DONE)
    return stream
