"""A server that speaks enough of OpenAI's API to be talked to."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web


class Served:
    """Replies with the last message or the prompt in capitals, a letter at a time."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.models: list[dict[str, Any]] = [{"id": "tiny"}, {"id": "other", "defaults": {"block_length": 4}}]
        self.refusal: web.Response | None = None
        self.replies: list[str] = []  # instead of what was said
        self.canvases: Sequence[Mapping[str, Any]] = ()  # told one by one, before the text
        self.ending = b"data: [DONE]\n\n"
        self.waiting_seconds = 0.0  # between the status and the first event
        self.pause_seconds = 0.0  # between the last event and the end of the stream
        self.hang = False  # before the end of a reply, until it is to go on
        self.go_on = asyncio.Event()
        self.asked = asyncio.Event()
        self.left = asyncio.Event()  # a client, before it had the whole reply

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        return app

    async def _list_models(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        return self.refusal or web.json_response({"object": "list", "data": self.models})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("Authorization"))
        self.requests.append(await request.json())
        self.asked.set()
        try:
            return await self._reply(request, self.requests[-1])
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _reply(self, request: web.Request, asked: Mapping[str, Any]) -> web.StreamResponse:
        chat = "messages" in asked
        said = asked["messages"][-1]["content"] if chat else asked["prompt"]
        text = self.replies.pop(0) if self.replies else said.upper()
        if asked.get("stream"):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await asyncio.sleep(self.waiting_seconds)
            canvases = self.canvases if asked.get("diffusing") else ()
            await response.write(b"".join(_event({**_chunk(chat, ""), "canvas": canvas}) for canvas in canvases))
            for letter in text:
                await response.write(_event(_chunk(chat, letter)))
        else:
            response = web.json_response({"choices": [_choice(chat, text)]})
        if self.hang:
            await self.go_on.wait()
        if asked.get("stream"):
            await response.write(self.ending)
            await asyncio.sleep(self.pause_seconds)
        return response


def _choice(chat: bool, text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}} if chat else {"text": text}


def _chunk(chat: bool, text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}} if chat else {"text": text}]}


def _event(content: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
