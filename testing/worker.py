"""A worker without a model: it says what it is told to say, and fails on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from textdiffusion.fingerprint import tokenizer_fingerprint
from textdiffusion.rpc import SERVER_OPTIONS, SERVICE_NAME
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Script:
    """What the next requests get."""

    tokens: list[int] = field(default_factory=list)  # the generated span, end token included
    order: list[list[int]] | None = None  # positions per step; left to right, one by one, if there is none
    finish_reason: pb.FinishReason = pb.FINISH_REASON_STOP
    forward_passes: int = 3
    reject: tuple[grpc.StatusCode, str] | None = None  # fails before the first update
    fail_after: int | None = None  # updates before it fails with UNAVAILABLE
    hang_after: int | None = None  # updates before it waits until `go_on` is set
    skip_last_update: bool = False  # ends the stream with nothing finished


@dataclass
class FakeWorker(rpc.TextGenerationServiceServicer):
    info: pb.GetInfoResponse
    stats: pb.GetStatsResponse | None = field(default_factory=pb.GetStatsResponse)  # none: it never answers
    address: str = ""
    script: Script = field(default_factory=Script)
    requests: list[pb.GenerateRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most_running: int = 0
    health: health_aio.HealthServicer = field(default_factory=health_aio.HealthServicer)

    async def set_serving(self, serving: bool) -> None:
        await self.health.set(SERVICE_NAME, SERVING if serving else NOT_SERVING)

    async def GetInfo(self, request: pb.GetInfoRequest, context: Any) -> pb.GetInfoResponse:  # noqa: ARG002, N802
        return self.info

    async def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.GetStatsResponse:  # noqa: ARG002, N802
        if self.stats is None:
            await asyncio.Event().wait()
        return self.stats or pb.GetStatsResponse()

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:  # noqa: N802
        return [update async for update in self._run(request, context)][-1].finished

    async def GenerateStream(  # noqa: N802
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateUpdate]:
        async for update in self._run(request, context):
            yield update

    async def _run(self, request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateUpdate]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.started.set()
        try:
            if self.script.reject:
                await context.abort(*self.script.reject)
            for number, update in enumerate(self._updates(request)):
                if number == self.script.fail_after:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the device is gone")
                if number == self.script.hang_after:
                    await self.go_on.wait()
                yield update
        except (asyncio.CancelledError, GeneratorExit):  # the latter where it ends while an update is being sent
            self.cancelled.set()
            raise
        finally:
            self.running -= 1

    def _updates(self, request: pb.GenerateRequest) -> list[pb.GenerateUpdate]:
        script, tokens = self.script, self.script.tokens
        order = [[position] for position in range(len(tokens))] if script.order is None else script.order
        updates, filled = [], set[int]()
        for step, positions in enumerate(order, start=1):
            filled |= set(positions)
            ready = next(position for position in range(len(tokens) + 1) if position not in filled)
            update = pb.GenerateUpdate(
                committed=[self._committed(request, position, step) for position in positions], ready=ready
            )
            if request.report_canvas:
                mask = self.info.mask_token_id
                update.canvas.ids.extend(token if position in filled else mask for position, token in enumerate(tokens))
            updates.append(update)
        if not script.skip_last_update:
            updates.append(pb.GenerateUpdate(ready=len(tokens), finished=self._finished(request)))
        return updates

    def _committed(self, request: pb.GenerateRequest, position: int, step: int) -> pb.CommittedToken:
        """With log probabilities that tell position and rank: -0.5 for the first, and so on."""
        token = self.script.tokens[position]
        top = [
            pb.TokenLogprob(id=(token + rank) % self.info.vocab_size, logprob=-(position + 0.5) - rank)
            for rank in range(request.options.top_logprobs)
        ]
        return pb.CommittedToken(position=position, id=token, step=step, logprob=-(position + 0.5), top=top)

    def _finished(self, request: pb.GenerateRequest) -> pb.GenerateResponse:
        own = () if request.options.ignore_eos else self.info.eos_token_ids
        ends = {*own, *request.options.stop_token_ids}
        length = next((i for i, token in enumerate(self.script.tokens) if token in ends), len(self.script.tokens))
        return pb.GenerateResponse(
            request_id=request.request_id,
            output=pb.Tokens(ids=self.script.tokens[:length]),
            finish_reason=self.script.finish_reason,
            usage=pb.Usage(
                prompt_tokens=len(request.prompt.ids),
                completion_tokens=length,
                forward_passes=self.script.forward_passes,
                committed_tokens=len(self.script.tokens),
            ),
            tokens=[self._committed(request, position, 1) for position in range(length)]
            if request.options.top_logprobs or request.report_canvas
            else [],
        )


def info_for(folder: Path, token_id: Callable[[str], int | None], **changes: Any) -> pb.GetInfoResponse:
    """What a worker says that serves a model whose tokenizer lies in `folder`."""
    info = pb.GetInfoResponse(
        model_id="fake",
        device="cpu",
        family="llada",
        max_sequence_length=512,
        vocab_size=1000,
        max_concurrent_requests=16,
        mask_token_id=token_id("<|mdm_mask|>"),
        eos_token_ids=[token_id("<|endoftext|>") or 0, token_id("<|eot_id|>") or 0],
        defaults=pb.DiffusionOptions(gen_length=64, block_length=32),
        tokenizer=str(folder),
        fingerprint="0123456789abcdef",
        tokenizer_fingerprint=tokenizer_fingerprint(folder),
    )
    info.MergeFrom(pb.GetInfoResponse(**changes))
    return info


@asynccontextmanager
async def running(
    worker: FakeWorker,
    address: str = "127.0.0.1:0",
    *,
    serving: bool = True,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[FakeWorker]:
    """Serves on `address`, by TLS if there are credentials, for as long as the context lasts."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    rpc.add_TextGenerationServiceServicer_to_server(worker, server)
    health_pb2_grpc.add_HealthServicer_to_server(worker.health, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    worker.address = address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
    await worker.set_serving(serving)
    await server.start()
    try:
        yield worker
    finally:
        await server.stop(None)
