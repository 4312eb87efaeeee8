"""Server-sent events."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, Self

from aiohttp import web

from router.services import FACTS
from textdiffusion.tasks import cancelled

HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),  # else nginx would hold events back
)

# One line break: an empty line after a comment is an event without data to some clients, which fail on it.
PING: Final = b": ping\n"
MOST_UNSENT: Final = 64 * 1024  # bytes beyond which senders wait
STALL_SECONDS: Final = 60.0
STALLED: Final = "reader_stalled"
DONE: Final = b"data: [DONE]\n\n"


def json_text(value: Any) -> str:
    """Compact, and with text as it is in any language."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class EventStream:
    """A response that is sent event by event; where none comes for long, a comment tells proxies that it is not dead.

    Silence counts from the last byte that was written or, before the first, from when the context is entered: then the
    comment opens the stream.

    Many may send, but one task writes: a sender that wrote by itself, and was cancelled while the connection is full,
    would end the writing for all. That task also knows for sure that nothing comes after the end.
    """

    def __init__(self, request: web.Request, keep_alive_seconds: float, stall_seconds: float = STALL_SECONDS) -> None:
        """A reader who takes nothing for `stall_seconds` loses the connection, and so keeps no slot from others."""
        self._request = request
        self._keep_alive_seconds = keep_alive_seconds
        self._stall_seconds = stall_seconds
        self._response = web.StreamResponse(headers=HEADERS)
        self._opening = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self._written_at = 0.0  # by the event loop's clock
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._unsent = bytearray()
        self._ended = False
        self._sent = False  # to its end

    @property
    def opened(self) -> bool:
        """Whether the status has been sent, after which no failure can have one of its own."""
        return self._response.prepared

    async def send(self, *events: Mapping[str, Any]) -> None:
        """Opens the stream with the first events; waits while too much is unsent. Raises `ConnectionError`."""
        if events:
            await self._open()
            self._add(encoded(*events))
        await self._room.wait()
        if self._writing and self._writing.done():
            await self._writing

    async def end(self, *events: Mapping[str, Any]) -> web.StreamResponse:
        """The last events, and the word that they are the last; returns when all of it is on its way."""
        await self._open()
        await self.send(*events)
        self._ended = True
        self._add(DONE)
        if self._writing:
            try:
                await self._writing
            except asyncio.CancelledError:
                if not self._sent:
                    raise  # otherwise the client has left with all of it
        return self._response

    async def __aenter__(self) -> Self:
        self._written_at = asyncio.get_running_loop().time()
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing and not self._sent:
            await cancelled(self._writing)

    async def _open(self) -> None:
        async with self._opening:
            await self._response.prepare(self._request)

    def _add(self, data: bytes) -> None:
        self._unsent += data
        self._wake.set()
        if len(self._unsent) < MOST_UNSENT:
            self._room.set()
        else:
            self._room.clear()

    async def _write(self) -> None:
        try:
            while not self._ended or self._unsent:
                await self._next()
        finally:
            self._room.set()  # for those who wait for it in vain

    async def _next(self) -> None:
        """Write what there is, once there is something."""
        await self._until_unsent()
        await self._open()
        loop = asyncio.get_running_loop()
        data = bytes(self._unsent)
        self._unsent.clear()
        self._room.set()
        stall = loop.call_later(self._stall_seconds, abandon, self._request)
        try:
            ending = self._ended
            await (self._response.write_eof(data) if ending else self._response.write(data))
            self._sent = ending
        finally:
            stall.cancel()
        self._written_at = loop.time()

    async def _until_unsent(self) -> None:
        """Wait for something to write: an event or, when the silence has lasted too long, a comment."""
        ping = asyncio.get_running_loop().call_at(self._written_at + self._keep_alive_seconds, self._ping)
        try:
            while not self._unsent:
                self._wake.clear()
                await self._wake.wait()
        finally:
            ping.cancel()

    def _ping(self) -> None:
        if not self._unsent:
            self._add(PING)


def abandon(request: web.Request) -> None:
    """Ends the connection to a reader who does not read."""
    request[FACTS]["error"] = STALLED
    if request.transport:
        request.transport.abort()  # closing would wait for the reader


def encoded(*events: Mapping[str, Any]) -> bytes:
    return "".join(f"data: {json_text(event)}\n\n" for event in events).encode()
