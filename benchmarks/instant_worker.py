"""`python -m benchmarks.instant_worker`: a worker that has every reply at hand, so that all time is others'.

It speaks the whole contract, and its replies are always the same tokens: as a whole, or in updates sent without a
pause. Once it serves it says so on standard output.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from transformers import PreTrainedTokenizerFast

from testing.folders import DEMO
from textdiffusion.fingerprint import tokenizer_fingerprint
from textdiffusion.rpc import SERVER_OPTIONS, SERVICE_NAME
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

MODEL = "instant"
READY = "ready"
TEXT = "the quick brown fox jumps over the lazy dog, and then it does so again "


class InstantWorker(rpc.TextGenerationServiceServicer):
    """Serves the demo model's tokenizer; a reply has `ids`, of which an update commits as many as its share."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], updates: int) -> None:
        self._info = pb.GetInfoResponse(
            model_id=MODEL,
            model_type="none",
            device="cpu",
            vocab_size=len(tokenizer),
            max_sequence_length=4096,
            mask_token_id=tokenizer.mask_token_id,
            eos_token_ids=[tokenizer.eos_token_id],
            max_concurrent_requests=1024,
            max_queued_requests=1024,
            defaults=pb.DiffusionOptions(gen_length=len(ids), block_length=len(ids)),
            tokenizer=str(DEMO),
            fingerprint="0" * 64,
            tokenizer_fingerprint=tokenizer_fingerprint(DEMO),
        )
        self._ids = ids
        self._updates = [*_updates(ids, updates)]

    async def GetInfo(self, request: pb.GetInfoRequest, context: Any) -> pb.GetInfoResponse:  # noqa: ARG002, N802
        return self._info

    async def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.GetStatsResponse:  # noqa: ARG002, N802
        return pb.GetStatsResponse()

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:  # noqa: ARG002, N802
        return self._finished(request)

    async def GenerateStream(  # noqa: N802
        self,
        request: pb.GenerateRequest,
        context: Any,  # noqa: ARG002
    ) -> AsyncIterator[pb.GenerateUpdate]:
        for update in self._updates:
            yield update
        yield pb.GenerateUpdate(ready=len(self._ids), finished=self._finished(request))

    def _finished(self, request: pb.GenerateRequest) -> pb.GenerateResponse:
        return pb.GenerateResponse(
            request_id=request.request_id,
            output=pb.Tokens(ids=self._ids),
            finish_reason=pb.FINISH_REASON_LENGTH,
            usage=pb.Usage(
                prompt_tokens=len(request.prompt.ids),
                completion_tokens=len(self._ids),
                forward_passes=len(self._updates),
                committed_tokens=len(self._ids),
            ),
        )


def reply_ids(tokenizer: PreTrainedTokenizerFast, length: int) -> list[int]:
    """So many tokens of an English text."""
    ids: list[int] = tokenizer.encode(TEXT, add_special_tokens=False)
    return (ids * (length // len(ids) + 1))[:length]


def _updates(ids: Sequence[int], number: int) -> "list[pb.GenerateUpdate]":
    """The tokens in reading order, shared out evenly."""
    bounds = [len(ids) * step // number for step in range(number + 1)]
    return [
        pb.GenerateUpdate(
            committed=[pb.CommittedToken(position=at, id=ids[at], step=step + 1) for at in range(first, end)], ready=end
        )
        for step, (first, end) in enumerate(pairwise(bounds))
    ]


async def serve(address: str, reply_tokens: int, updates: int) -> None:
    """Serves until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(DEMO)
    health = health_aio.HealthServicer()
    await health.set(SERVICE_NAME, health_pb2.HealthCheckResponse.SERVING)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    worker = InstantWorker(tokenizer, reply_ids(tokenizer, reply_tokens), updates)  # type: ignore[abstract]
    rpc.add_TextGenerationServiceServicer_to_server(worker, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    server.add_insecure_port(address)
    await server.start()
    print(READY, flush=True)
    await stop.wait()
    await server.stop(None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instant_worker", description=__doc__)
    parser.add_argument("--listen", required=True, help="unix:PATH or HOST:PORT")
    parser.add_argument("--reply-tokens", type=int, default=64)
    parser.add_argument("--updates", type=int, default=8, help="of a streamed reply")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.listen, arguments.reply_tokens, arguments.updates))


if __name__ == "__main__":
    main()
