"""The same request by two ways: straight to the worker over gRPC, and over HTTP to whoever has that API."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from benchmarks.instant_worker import MODEL
from benchmarks.load.open_loop import Clock
from benchmarks.prompts import Prompt
from benchmarks.serve.client import Client, connected
from textdiffusion.rpc import CHANNEL_OPTIONS
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

if TYPE_CHECKING:
    from textdiffusion.v1.textdiffusion_pb2_grpc import TextGenerationServiceAsyncStub  # it is but a type

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """When the first text was there, if the reply was streamed; how long the reply was; and why there is none."""

    first: float | None = None
    tokens: int | None = None
    error: str | None = None


class Caller(Protocol):
    async def ask(self, number: int, clock: Clock, *, stream: bool) -> Answer: ...


class Direct:
    """Calls the worker as the router does, with the ids that the router would make of a prompt."""

    def __init__(self, stub: "TextGenerationServiceAsyncStub", prompts: Sequence[Prompt], reply_tokens: int) -> None:
        self._stub = stub
        self._requests = [
            pb.GenerateRequest(prompt=pb.Tokens(ids=prompt.ids), options=pb.DiffusionOptions(gen_length=reply_tokens))
            for prompt in prompts
        ]

    async def ask(self, number: int, clock: Clock, *, stream: bool) -> Answer:
        request = self._requests[number % len(self._requests)]
        try:
            if stream:
                return await self._ask_stream(request, clock)
            reply = await self._stub.Generate(request, timeout=TIMEOUT_SECONDS)
            return Answer(tokens=reply.usage.completion_tokens)
        except grpc.aio.AioRpcError as error:
            return Answer(error=error.code().name)

    async def _ask_stream(self, request: pb.GenerateRequest, clock: Clock) -> Answer:
        first, tokens = None, None
        async for update in self._stub.GenerateStream(request, timeout=TIMEOUT_SECONDS):
            if first is None:
                first = clock()
            if update.HasField("finished"):
                tokens = update.finished.usage.completion_tokens
        return Answer(first, tokens)


class OverHttp:
    """Calls a server of OpenAI's API."""

    def __init__(self, client: Client, prompts: Sequence[Prompt], reply_tokens: int) -> None:
        self._client = client
        self._bodies = {
            stream: [_body(prompt, reply_tokens, stream=stream) for prompt in prompts] for stream in (False, True)
        }

    async def ask(self, number: int, clock: Clock, *, stream: bool) -> Answer:
        bodies = self._bodies[stream]
        reply = await self._client.ask(bodies[number % len(bodies)], clock, stream=stream)
        first = reply.texts[0] if reply.texts else None
        return Answer(first, reply.usage.completion_tokens, reply.error)


@asynccontextmanager
async def direct(address: str, prompts: Sequence[Prompt], reply_tokens: int) -> AsyncIterator[Direct]:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        yield Direct(rpc.TextGenerationServiceStub(channel), prompts, reply_tokens)


@asynccontextmanager
async def over_http(url: str, prompts: Sequence[Prompt], reply_tokens: int) -> AsyncIterator[OverHttp]:
    async with connected(url, "chat", api_key=None, seconds=TIMEOUT_SECONDS) as client:
        yield OverHttp(client, prompts, reply_tokens)


def _body(prompt: Prompt, reply_tokens: int, *, stream: bool) -> bytes:
    asked: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": prompt.text}]}
    streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return json.dumps({**asked, "max_tokens": reply_tokens, **streaming}).encode()
