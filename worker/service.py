"""The gRPC service: from proto to engine and back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import grpc
import structlog

from textdiffusion.rpc import LOADING, STOPPING
from textdiffusion.settings import GenerationSettings
from textdiffusion.spans import NO_TRACING, Tracing
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.device import memory_usage
from worker.engine.engine import Engine, EngineStoppedError
from worker.engine.request import CommittedToken, FinishReason, Request, Update
from worker.engine.scheduler import NeverFitsError, QueueFullError
from worker.models.checkpoint import Checkpoint
from worker.models.spec import Family
from worker.options import InvalidRequestError, defaults_for, settle
from worker.tracing import answering, tell
from worker.update_queue import UpdateQueue

log = structlog.get_logger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]

_FINISH_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Serving:
    """What a worker that has loaded its model serves with."""

    engine: Engine
    checkpoint: Checkpoint
    family: Family
    info: pb.GetInfoResponse

    def with_defaults(self, settings: GenerationSettings) -> "Serving":
        """The same with other defaults for requests to come. Raises `CheckpointError`."""
        info = pb.GetInfoResponse()
        info.CopyFrom(self.info)
        info.defaults.CopyFrom(defaults_for(self.checkpoint, settings, self.family))
        return replace(self, info=info)


class TextGenerationService(rpc.TextGenerationServiceServicer):
    """Answers UNAVAILABLE until `serving` is set."""

    def __init__(self, tracing: Tracing = NO_TRACING) -> None:
        self.serving: Serving | None = None
        self._tracing = tracing
        self._started = time.monotonic()
        self._draining = False
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def drained(self) -> None:
        """Refuses new requests from now on, and waits until none is being answered."""
        self._draining = True
        await self._idle.wait()

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:  # noqa: N802
        finished = pb.GenerateResponse()
        async for update in self.GenerateStream(request, context):
            finished = update.finished
        return finished

    async def GenerateStream(  # noqa: N802
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateUpdate]:
        with answering(self._tracing, request, context) as span:
            serving = await self._ready(context)
            updates = UpdateQueue()
            running = await self._submit(serving, request, context, updates)
            kept: list[CommittedToken] = []
            with self._call(serving.engine, running):
                while True:
                    update = await updates.get()
                    tell(span, update)
                    if request.report_canvas or request.options.top_logprobs:
                        kept.extend(update.committed)
                    if update.finish_reason is FinishReason.FAILED:
                        await context.abort(grpc.StatusCode.INTERNAL, f"{update.failure}; the worker's log says more")
                    if update.finish_reason is FinishReason.CANCELLED:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, serving.engine.closed_because)
                    yield _update(request, update, kept)
                    if update.finish_reason:
                        return

    async def GetInfo(self, request: pb.GetInfoRequest, context: Context) -> pb.GetInfoResponse:  # noqa: N802
        del request
        return (await self._ready(context)).info

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:  # noqa: N802
        del request
        engine = (await self._ready(context)).engine
        stats = engine.stats()
        used, total = memory_usage(engine.model.device)
        return pb.GetStatsResponse(
            running_requests=stats.running_requests,
            queued_requests=stats.queued_requests,
            forward_passes_total=stats.forward_passes,
            committed_tokens_total=stats.committed_tokens,
            finished_requests_total=stats.finished_requests,
            cancelled_requests_total=stats.cancelled_requests,
            failed_requests_total=stats.failed_requests,
            kv_cache_positions_used=stats.kv_positions_used,
            kv_cache_positions_total=stats.kv_positions,
            step_batch_sizes=stats.step_batch_sizes,
            step_batch_size_sum=stats.step_batch_size_sum,
            memory_used_bytes=used,
            memory_total_bytes=total,
            uptime_seconds=time.monotonic() - self._started,
        )

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        del request
        return await _refuse_unimplemented(context)

    async def Choose(self, request: pb.ChooseRequest, context: Context) -> pb.ChooseResponse:  # noqa: N802
        del request
        return await _refuse_unimplemented(context)

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:  # noqa: N802
        del request
        return await _refuse_unimplemented(context)

    @contextmanager
    def _call(self, engine: Engine, running: Request) -> Iterator[None]:
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            # Whatever ended this call, nobody reads on: the client left, the deadline passed, or all is said.
            engine.cancel(running)
            self._calls -= 1
            if self._calls == 0:
                self._idle.set()

    async def _ready(self, context: Context) -> Serving:
        if self.serving is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, LOADING)
        return self.serving

    async def _submit(
        self, serving: Serving, request: pb.GenerateRequest, context: Context, updates: UpdateQueue
    ) -> Request:
        loop = asyncio.get_running_loop()
        if self._draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, STOPPING)
        try:
            options = settle(request, serving.info.defaults, serving.engine.model.spec)
            return serving.engine.submit(
                request.request_id,
                request.prompt.ids[:],
                options,
                lambda update: loop.call_soon_threadsafe(updates.put, update),
                suffix=request.suffix.ids[:],
                report_canvas=request.report_canvas,
            )
        except (InvalidRequestError, NeverFitsError) as error:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except QueueFullError as error:
            return await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except EngineStoppedError as error:
            return await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))


async def _refuse_unimplemented(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this worker only generates text")


def _update(request: pb.GenerateRequest, update: Update, kept: list[CommittedToken]) -> pb.GenerateUpdate:
    message = pb.GenerateUpdate(committed=map(_token, update.committed), ready=update.ready)
    if request.report_canvas:
        message.canvas.ids.extend(update.canvas)
    if update.finish_reason:
        message.finished.CopyFrom(
            pb.GenerateResponse(
                request_id=request.request_id,
                output=pb.Tokens(ids=update.canvas[: update.ready]),
                finish_reason=_FINISH_REASONS[update.finish_reason],
                usage=pb.Usage(
                    prompt_tokens=len(request.prompt.ids) + len(request.suffix.ids),
                    completion_tokens=update.ready,
                    forward_passes=update.forward_passes,
                    committed_tokens=update.committed_tokens,
                ),
                tokens=map(_token, sorted(kept, key=lambda token: token.position)),
            )
        )
    return message


def _token(token: CommittedToken) -> pb.CommittedToken:
    return pb.CommittedToken(
        position=token.position,
        id=token.id,
        logprob=token.logprob,
        top=[pb.TokenLogprob(id=one.id, logprob=one.logprob) for one in token.top],
        step=token.step,
    )
