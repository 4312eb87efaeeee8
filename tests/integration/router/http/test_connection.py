"""What aiohttp refuses before any handler runs has OpenAI's error object and an id, and leaves no traceback."""

import asyncio
import json
import logging
from typing import Any

import pytest

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PATIENCE_SECONDS = 60


async def answer_to(router: Any, sent: bytes) -> tuple[int, str, Any]:
    """Status, head and JSON of what comes back."""
    async with router.connection() as (reader, writer):
        writer.write(sent)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)).decode()
        body = await asyncio.wait_for(reader.readuntil(b"}}"), PATIENCE_SECONDS)
    return int(head.split(" ")[1]), head, json.loads(body)


@pytest.fixture
async def idle_router(start_router: Any) -> Any:
    return await start_router(wait=False, request_timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("sent", "expected", "word"),
    [
        (b"hello?\r\n\r\n", (400, "invalid_http"), "method"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "invalid_http"), "HTTPS"),
        ("GET /ä HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), (400, "invalid_http"), "URL"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", (400, "invalid_http"), "longer"),
        (HEAD + b"Content-Length: -5\r\n\r\n", (400, "invalid_http"), "Content-Length"),
        (HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", (415, "unsupported_media_type"), "gzip"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 90\r\n\r\nnot gzip", (400, "invalid_json"), "body"),
        (HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", (417, None), "Expect"),
        (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n", (417, None), "Expect"),
    ],
    ids=["garbage", "tls", "path", "header", "length", "br", "gzip", "expect", "expect-nowhere"],
)
async def test_what_is_no_request_is_told_so_in_kind(
    idle_router: Any, caplog: pytest.LogCaptureFixture, sent: bytes, expected: tuple[int, str | None], word: str
) -> None:
    with caplog.at_level(logging.DEBUG, "aiohttp.server"):
        status, head, body = await answer_to(idle_router, sent)
    error = body["error"]
    assert ((status, error["code"]), set(error)) == (expected, {"message", "type", "param", "code"})
    assert word in error["message"]
    assert "\n" not in error["message"]
    assert "x-request-id: " in head.lower()
    assert not caplog.records


async def test_whoever_waits_for_100_continue_gets_it(idle_router: Any) -> None:
    async with idle_router.connection() as (reader, writer):
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS) == b"HTTP/1.1 100 Continue\r\n"
