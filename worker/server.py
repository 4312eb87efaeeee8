"""The worker's life: listen, load, serve, drain.

It listens before it loads, so that a probe gets an answer at once; `worker.health` says which.
"""

import asyncio
import contextlib
import os

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from textdiffusion.lifeline import follow_parent
from textdiffusion.logs import set_log_level
from textdiffusion.rpc import SERVER_OPTIONS, SERVICE_NAME
from textdiffusion.settings import LiveSettings, WorkerSettings
from textdiffusion.signals import EXIT_FORCED, StopSignals
from textdiffusion.spans import NO_TRACING, Tracing
from textdiffusion.tasks import cancelled, first_of
from textdiffusion.tls import server_credentials
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.health import Health
from worker.reload import line_handler
from worker.service import TextGenerationService
from worker.startup import load

log = structlog.get_logger(__name__)

# For the last reply to leave the process, and for the last step to end.
FLUSH_SECONDS = 0.5
LAST_STEP_SECONDS = 3.0

EXIT_STOPPED = 0


class AddressInUseError(Exception):
    """The address to listen on cannot be had."""


class Worker:
    """One model on one device behind one address."""

    def __init__(self, settings: WorkerSettings, tracing: Tracing = NO_TRACING) -> None:
        self.settings = settings
        self.service = TextGenerationService(tracing)
        self.health = Health()
        self._following: asyncio.Task[None] | None = None
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        rpc.add_TextGenerationServiceServicer_to_server(self.service, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, self.server)
        reflection.enable_server_reflection(
            (SERVICE_NAME, "grpc.health.v1.Health", reflection.SERVICE_NAME), self.server
        )

    async def start(self) -> str:
        """Listens, and says where. Raises `AddressInUseError`."""
        identity = self.settings.tls_identity
        credentials = server_credentials(identity, self.settings.tls_client_ca_file) if identity else None
        await self.health.change(loaded=False)
        try:
            if credentials:
                port = self.server.add_secure_port(self.settings.listen, credentials)
            else:
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
        loop, settings = asyncio.get_running_loop(), self.settings
        serving = await asyncio.to_thread(
            load,
            settings,
            on_broken=lambda: asyncio.run_coroutine_threadsafe(self.health.change(broken=True), loop),
        )
        changed = self.settings is not settings
        self.service.serving = serving.with_defaults(self.settings.generation) if changed else serving
        await self.health.change(loaded=True)
        self._following = asyncio.create_task(self.health.follow(serving.engine.progress, settings.stall_seconds))

    def change(self, live: LiveSettings) -> None:
        """At once, for the log and for requests to come. Raises `CheckpointError`."""
        if live.generation:
            if self.service.serving:
                self.service.serving = self.service.serving.with_defaults(live.generation)
            self.settings = self.settings.model_copy(update={"generation": live.generation})
        if live.log_level:
            set_log_level(live.log_level)

    async def drain(self) -> bool:
        """Takes no more requests, finishes those that run, and stops; whether the last step has ended."""
        await self.health.change(draining=True)
        # Not `server.stop(grace)`: it would refuse the probes too, and wait for those who only watch our health.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.service.drained(), self.settings.grace_seconds)
        await self.server.stop(FLUSH_SECONDS)
        if self._following:
            await cancelled(self._following)
        serving = self.service.serving
        return serving is None or await asyncio.to_thread(serving.engine.stop, LAST_STEP_SECONDS)


async def serve(settings: WorkerSettings, tracing: Tracing = NO_TRACING) -> None:
    """Runs a worker until SIGINT or SIGTERM; a second signal ends it at once."""
    signals = StopSignals.installed(lambda: os._exit(EXIT_FORCED))
    worker = Worker(settings, tracing)
    follow_parent(line_handler(worker.change))
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
    if not await worker.drain():
        log.error("the last step does not end; stopped without it")
        os._exit(EXIT_FORCED)  # no interpreter shuts down cleanly under a thread that computes
    log.info("stopped")


def _tell_what_is_served(worker: Worker) -> None:
    info = worker.service.serving.info if worker.service.serving else pb.GetInfoResponse()
    log.info("serving", model=info.model_id, device=info.device, dtype=info.dtype, parameters=info.parameters)
