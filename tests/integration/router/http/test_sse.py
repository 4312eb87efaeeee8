"""Streams to readers who are slow, or do not read at all."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from router.http.sse import MOST_UNSENT, PING, STALLED, EventStream
from router.services import FACTS
from testing.waiting import eventually

END = b"data: [DONE]\n\n\r\n0\r\n\r\n"
LARGE = {"a": "x" * 60_000}

Stream = Callable[[EventStream], Awaitable[web.StreamResponse]]


class Served:
    """One connection whose buffers are small, and what the handler at its other end left behind."""

    def __init__(self, connection: socket.socket, facts: dict[str, Any], ended: "asyncio.Future[str]") -> None:
        self._connection = connection
        self.facts = facts
        self.ended = ended

    async def read(self, until: bytes) -> bytes:
        loop, got = asyncio.get_running_loop(), b""
        while not got.endswith(until) and (part := await asyncio.wait_for(loop.sock_recv(self._connection, 4096), 60)):
            got += part
        return got

    async def says_more(self) -> bool:
        """Whether anything comes within a few keep-alives."""
        try:
            return bool(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._connection, 4096), 0.3))
        except TimeoutError:
            return False


@asynccontextmanager
async def served(stream: Stream, *, keep_alive: float = 60, stall: float = 60) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    facts, ended = dict[str, Any](), loop.create_future()

    async def handler(request: web.Request) -> web.StreamResponse:
        request[FACTS] = facts
        assert request.transport
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        try:
            async with EventStream(request, keep_alive, stall) as events:
                response = await stream(events)
        except BaseException as error:
            ended.set_result(type(error).__name__)
            raise
        ended.set_result("sent")
        return response

    app = web.Application()
    app.add_routes([web.get("/", handler)])
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, runner.addresses[0])
        await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield Served(connection, facts, ended)
    await runner.cleanup()


async def test_nothing_is_sent_after_the_end_however_late_it_is_read() -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        await events.send(LARGE)
        return await events.end(LARGE)

    async with served(stream, keep_alive=0.02) as connection:
        await asyncio.sleep(0.2)  # several keep-alives, with the end waiting for a reader
        assert (await connection.read(END)).count(b"x" * 60_000) == 2
        assert not await connection.says_more()
        assert await connection.ended == "sent"


async def test_silence_is_filled_with_comments() -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        await events.send({"a": 1})
        await asyncio.sleep(0.1)
        return await events.end({"a": 2})

    async with served(stream, keep_alive=0.02) as connection:
        got = await connection.read(END)
    first, _, rest = got.partition(b'data: {"a":1}\n\n')
    assert PING not in first
    assert PING in rest.partition(b'data: {"a":2}')[0]


async def test_a_comment_is_one_line_so_that_no_client_takes_it_for_an_event_without_data() -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        await events.send({"a": 1})
        await heard.wait()
        return await events.end({"a": 2})

    heard = asyncio.Event()
    async with served(stream, keep_alive=0.02) as connection:
        got = await connection.read(PING + b"\r\n")
        heard.set()
        got += await connection.read(END)
    assert not re.search(rb": ping\n\n", re.sub(rb"\r\n[0-9a-f]+\r\n", b"", got))


async def test_a_comment_comes_in_time_however_often_the_writer_is_woken_for_nothing() -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        await events.send({"a": 1})
        while not heard.is_set():
            await events.send()
            events._wake.set()
            await asyncio.sleep(0.001)
        return await events.end()

    heard = asyncio.Event()
    async with served(stream, keep_alive=0.05) as connection:
        assert PING in await connection.read(PING + b"\r\n")
        heard.set()
        await connection.read(END)


async def test_a_stream_without_an_event_is_opened_by_a_comment() -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        await heard.wait()
        return await events.end()

    heard = asyncio.Event()
    async with served(stream, keep_alive=0.02) as connection:
        head, _, body = (await connection.read(PING + b"\r\n")).partition(b"\r\n\r\n")
        heard.set()
        await connection.read(END)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body.startswith(b"7\r\n: ping\n\r\n")


async def test_a_sender_that_is_cancelled_while_nobody_reads_leaves_the_others_alone() -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        senders = [asyncio.create_task(send_again_and_again(events)) for _ in range(3)]
        await eventually(lambda: not events._room.is_set())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        return await events.end({"error": "one of them failed"})

    async def send_again_and_again(events: EventStream) -> None:
        while True:
            await events.send(LARGE)

    async with served(stream) as connection:
        await asyncio.sleep(0.1)
        assert b"one of them failed" in await connection.read(END)
        assert await connection.ended == "sent"


async def test_whoever_sends_more_than_is_read_waits() -> None:
    sent = 0

    async def stream(events: EventStream) -> web.StreamResponse:
        nonlocal sent
        while True:
            await events.send(LARGE)
            sent += 1

    async with served(stream) as connection:
        await eventually(lambda: sent > 0)
        await asyncio.sleep(0.1)
        stopped_at = sent
        assert stopped_at < 100 * MOST_UNSENT
        await asyncio.sleep(0.1)
        assert sent == stopped_at
        await connection.read(b"x" * 100)


@pytest.mark.parametrize("unsent", [1, 20])
async def test_a_reader_who_takes_nothing_loses_the_connection(unsent: int) -> None:
    async def stream(events: EventStream) -> web.StreamResponse:
        for _ in range(unsent):
            await events.send({"a": "x" * 8_000_000})
        return await events.end()

    async with served(stream, stall=0.2) as connection:
        assert await asyncio.wait_for(connection.ended, 60) in ("CancelledError", "ClientConnectionResetError")
        assert connection.facts == {"error": STALLED}
