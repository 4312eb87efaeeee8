"""`python -m testing.instant ADDRESS PORT TOKENS UPDATES`: servers that take no time of their own.

A worker that has every reply at hand, so that all time is others'. It speaks the whole contract, and its replies are
always the same tokens: as a whole, or in updates sent without a pause. And an HTTP server that has its reply at hand
and looks at nothing: it shows what client, loopback and HTTP take before a router has done anything.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import uvloop
from aiohttp import web
from transformers import PreTrainedTokenizerFast

from testing.folders import DEMO
from testing.worker import FakeWorker, info_for, running
from textdiffusion.v1 import textdiffusion_pb2 as pb

MODEL = "instant"
READY = "ready"
TEXT = "the quick brown fox jumps over the lazy dog, and then it does so again "
HELLO = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "%s"}}]}' % (b"hello " * 64)


class InstantWorker(FakeWorker):
    """Serves the demo model's tokenizer; a reply has so many tokens, each of so many updates its share."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, tokens: int, updates: int) -> None:
        limits = {"max_sequence_length": 4096, "max_concurrent_requests": 1024, "max_queued_requests": 1024}
        vocabulary = tokenizer.get_vocab()
        super().__init__(info_for(DEMO, vocabulary.get, model_id=MODEL, vocab_size=len(tokenizer), **limits))
        ids = tokenizer.encode(TEXT, add_special_tokens=False)
        self._ids = (ids * (tokens // len(ids) + 1))[:tokens]
        bounds = [tokens * step // updates for step in range(updates + 1)]
        self._updates_at_hand = [self._update(*span, step) for step, span in enumerate(pairwise(bounds), 1)]

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:  # noqa: ARG002, N802
        return self._whole(request)

    async def GenerateStream(  # noqa: N802
        self,
        request: pb.GenerateRequest,
        context: Any,  # noqa: ARG002
    ) -> AsyncIterator[pb.GenerateUpdate]:
        for update in self._updates_at_hand:
            yield update
        yield pb.GenerateUpdate(ready=len(self._ids), finished=self._whole(request))

    def _update(self, first: int, end: int, step: int) -> pb.GenerateUpdate:
        tokens = [pb.CommittedToken(position=at, id=self._ids[at], step=step) for at in range(first, end)]
        return pb.GenerateUpdate(committed=tokens, ready=end)

    def _whole(self, request: pb.GenerateRequest) -> pb.GenerateResponse:
        usage = pb.Usage(
            prompt_tokens=len(request.prompt.ids),
            completion_tokens=len(self._ids),
            forward_passes=len(self._updates_at_hand),
            committed_tokens=len(self._ids),
        )
        return pb.GenerateResponse(
            request_id=request.request_id,
            output=pb.Tokens(ids=self._ids),
            finish_reason=pb.FINISH_REASON_LENGTH,
            usage=usage,
        )


async def _say_hello(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=HELLO, content_type="application/json")


async def serve(address: str, port: int, tokens: int, updates: int) -> None:
    """Serves until SIGTERM; says so once it does."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", _say_hello)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    worker = InstantWorker(PreTrainedTokenizerFast.from_pretrained(DEMO), tokens, updates)  # type: ignore[abstract]
    async with running(worker, address):
        print(READY, flush=True)
        await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], *map(int, sys.argv[2:])))  # on which the router runs too
