"""A server that speaks as much of OpenAI's API as a load benchmark needs, in a thread of its own."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BASE_TOKENS = 10
TOKENS_PER_WORD = 3
PATIENCE_SECONDS = 60


@dataclass
class OpenAiServer:
    """Counts three tokens a word; refuses, cuts off and hangs by the number of the request that asks for a load."""

    url: str = ""
    counts: bool = True
    refuse: frozenset[int] = frozenset()
    cut_off: frozenset[int] = frozenset()
    hang_from: int | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    hanging: threading.Event = field(default_factory=threading.Event)

    async def models(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers.get("Authorization"))
        return web.json_response({"object": "list", "data": [{"id": "first"}, {"id": "second"}]})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.add(request.headers.get("Authorization"))
        body = json.loads(await request.read())
        number = len(self.bodies) - 2  # after those that the client counts words with
        self.bodies.append(body)
        if self.hang_from is not None and number >= self.hang_from:
            self.hanging.set()
            await asyncio.Event().wait()
        if number in self.refuse:
            error = {"code": "server_overloaded", "type": "server_error", "message": "busy", "param": None}
            return web.json_response({"error": error}, status=503)
        if body.get("stream"):
            return await self._stream(request, body, cut_off=number in self.cut_off)
        choice = {"index": 0, "message": {"role": "assistant", "content": "a b c"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": self._usage(body)})

    async def _stream(self, request: web.Request, body: dict[str, Any], *, cut_off: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for text in ("", "a ", "b ", "c"):
            choice = {"delta": {"content": text}} if "messages" in body else {"text": text}
            await _send(response, {"choices": [{"index": 0, **choice, "finish_reason": None}]})
        if not cut_off:
            await _send(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
            await _send(response, {"choices": [], "usage": self._usage(body)})
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _usage(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if not self.counts:
            return None
        text = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        return {
            "prompt_tokens": BASE_TOKENS + TOKENS_PER_WORD * len(text.split()),
            "completion_tokens": body["max_tokens"],
            "completion_tokens_details": {"forward_passes": 4, "committed_tokens": body["max_tokens"]},
        }


@contextmanager
def serving(server: OpenAiServer) -> Iterator[OpenAiServer]:
    """Answers for as long as the context lasts."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/v1/models", server.models),
            web.post("/v1/chat/completions", server.answer),
            web.post("/v1/completions", server.answer),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(_start(runner), loop).result(PATIENCE_SECONDS)
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(runner: web.AppRunner) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(f"data: {json.dumps(event)}\n\n".encode())
