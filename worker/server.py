"""The worker's life: listen, load, serve, drain.

It listens before it loads, so that a probe gets an answer at once; the answer is NOT_SERVING until the model has run a
first forward pass. While it drains, only the service turns NOT_SERVING: the process as a whole ("") is healthy and must
not be killed for finishing its work.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import replace

import grpc
import structlog
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from textdiffusion import __version__
from textdiffusion.fingerprint import tokenizer_fingerprint
from textdiffusion.rpc import SERVER_OPTIONS, SERVICE_NAME
from textdiffusion.settings import WorkerSettings
from textdiffusion.signals import EXIT_FORCED, StopSignals
from textdiffusion.tasks import first_of
from textdiffusion.tracing import NO_TRACING, Tracing
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.device import describe, free_memory, keep_freed_memory, use
from worker.engine.engine import Engine
from worker.engine.kv_cache import affordable_positions
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.loading import LoadedModel, choose_device, choose_dtype, load_model
from worker.options import defaults_for
from worker.service import Serving, TextGenerationService

log = structlog.get_logger(__name__)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# What the last reply gets to leave the process in.
FLUSH_SECONDS = 0.5


EXIT_STOPPED = 0


class AddressInUseError(Exception):
    """The address to listen on cannot be had."""


class Worker:
    """One model on one device behind one address."""

    def __init__(self, settings: WorkerSettings, tracing: Tracing = NO_TRACING) -> None:
        self.settings = settings
        self.service = TextGenerationService(tracing)
        self.health = health_aio.HealthServicer()
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        rpc.add_TextGenerationServiceServicer_to_server(self.service, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        reflection.enable_server_reflection(
            (SERVICE_NAME, "grpc.health.v1.Health", reflection.SERVICE_NAME), self.server
        )

    async def start(self) -> str:
        """Listens, and says where. Raises `AddressInUseError`."""
        await self._set_health(NOT_SERVING)
        try:
            port = self.server.add_insecure_port(self.settings.listen)
        except RuntimeError as error:
            raise AddressInUseError(
                f"{self.settings.listen}: the address is in use or cannot be listened on"
            ) from error
        await self.server.start()
        if self.settings.listen.startswith("unix:"):
            return self.settings.listen
        return f"{self.settings.listen.rpartition(':')[0]}:{port}"

    async def load(self) -> None:
        """Loads the model, runs a first forward pass and turns healthy. Raises `CheckpointError`."""
        loop = asyncio.get_running_loop()
        self.service.serving = await asyncio.to_thread(
            _load, self.settings, lambda: asyncio.run_coroutine_threadsafe(self._set_health(NOT_SERVING), loop)
        )
        await self._set_health(SERVING)

    async def drain(self) -> None:
        """Takes no more requests, finishes those that run, and stops."""
        await self.health.set(SERVICE_NAME, NOT_SERVING)
        # Not `server.stop(grace)`: it would refuse the probes too, and wait for those who only watch our health.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.service.drained(), self.settings.grace_seconds)
        await self.server.stop(FLUSH_SECONDS)
        if self.service.serving:
            await asyncio.to_thread(self.service.serving.engine.stop)

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Of the process as a whole and of its service."""
        await self.health.set("", status)
        await self.health.set(SERVICE_NAME, status)


async def serve(settings: WorkerSettings, tracing: Tracing = NO_TRACING) -> None:
    """Runs a worker until SIGINT or SIGTERM; a second signal ends it at once."""
    signals = StopSignals.installed(lambda: os._exit(EXIT_FORCED))
    worker = Worker(settings, tracing)
    address = await worker.start()
    log.info("loading", model=settings.model, listen=address)
    loading = asyncio.create_task(worker.load())
    asked = asyncio.create_task(signals.asked.wait())
    await first_of(loading, asked)
    if not loading.done():
        await worker.server.stop(None)
        log.info("stopped while loading")
        # Nothing runs yet, and a thread that reads weights cannot be interrupted.
        os._exit(EXIT_STOPPED)
    try:
        loading.result()
    except BaseException:
        await worker.server.stop(None)
        raise
    _tell_what_is_served(worker)
    await asked
    log.info("stopping", grace_seconds=settings.grace_seconds)
    await worker.drain()
    log.info("stopped")


def _tell_what_is_served(worker: Worker) -> None:
    info = worker.service.serving.info if worker.service.serving else pb.GetInfoResponse()
    log.info("serving", model=info.model_id, device=info.device, dtype=info.dtype, parameters=info.parameters)


def _load(settings: WorkerSettings, on_broken: Callable[[], object]) -> Serving:
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    checkpoint = Checkpoint.find(settings.model)
    defaults = defaults_for(checkpoint, settings.generation)
    model = load_model(checkpoint, device, dtype)
    positions = settings.kv_cache_positions or affordable_positions(
        model.network.config, dtype, requests=settings.max_concurrent_requests, free_bytes=free_memory(device)
    )
    # What does not fit into the cache cannot be run, whatever the model could do.
    model = replace(model, max_sequence_length=min(model.max_sequence_length, positions))
    limits = Limits(
        max_running=settings.max_concurrent_requests,
        max_waiting=settings.max_queued_requests,
        max_rows=settings.max_step_rows,
        positions=positions,
    )
    engine = _started(model, limits, getattr(torch, settings.confidence_dtype), on_broken)
    return Serving(engine, _info(settings, checkpoint, model, defaults))


def _started(
    model: LoadedModel, limits: Limits, confidence_dtype: torch.dtype, on_broken: Callable[[], object]
) -> Engine:
    keep_freed_memory()
    use(model.device)
    try:
        engine = Engine(model, limits, confidence_dtype=confidence_dtype, on_broken=on_broken)
        engine.start()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise CheckpointError(
            f"the memory of {model.device} has no room for a forward pass beside the keys and values of "
            f"{limits.positions} positions; set kv_cache_positions"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"{model.device} cannot run the model: {str(error).partition(chr(10))[0]}") from error
    return engine


def _info(
    settings: WorkerSettings, checkpoint: Checkpoint, model: LoadedModel, defaults: pb.DiffusionOptions
) -> pb.GetInfoResponse:
    tokenizer = tokenizer_fingerprint(checkpoint.folder)
    return pb.GetInfoResponse(
        model_id=settings.id or checkpoint.name,
        model_type=model.model_type,
        version=__version__,
        device=str(model.device),
        device_name=describe(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        vocab_size=model.vocab_size,
        max_sequence_length=model.max_sequence_length,
        mask_token_id=model.mask_token_id,
        eos_token_ids=model.eos_token_ids,
        parameters=model.parameters,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_queued_requests=settings.max_queued_requests,
        defaults=defaults,
        tokenizer=checkpoint.source if tokenizer else "",
        fingerprint=model.fingerprint,
        tokenizer_fingerprint=tokenizer,
    )
