"""Runs the router from its first signal handler to its last byte."""

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import structlog
from aiohttp import web

from router.app import build_app
from router.http.connection import Runner
from router.http.keys import warn_if_all_can_read
from router.probes import probes
from router.services import SERVICES, Services
from router.workers.line import Dialer
from router.workers.pool import Pool
from textdiffusion.settings import RouterSettings
from textdiffusion.signals import EXIT_FORCED, StopSignals
from textdiffusion.tracing import NO_TRACING, Tracing

log = structlog.get_logger(__name__)


class CannotListenError(Exception):
    """The address cannot be listened on; says why in a sentence."""


async def serve(settings: RouterSettings, tracing: Tracing = NO_TRACING) -> None:
    """Serves until SIGTERM or SIGINT; a second signal ends the process at once. Raises `CannotListenError`."""
    signals = StopSignals.installed(lambda: os._exit(EXIT_FORCED))
    if settings.api_keys_file:
        warn_if_all_can_read(settings.api_keys_file)
    app = build_app(settings, Pool(settings.workers, Dialer.from_settings(settings)), tracing=tracing)
    runner = Runner(app, settings.drain_seconds)
    await runner.setup()
    async with AsyncExitStack() as stack:
        if settings.probe_port is not None:
            await _listen_for_probes(stack, app[SERVICES], settings.host, settings.probe_port)
        stack.push_async_callback(runner.cleanup)  # stops accepting, waits for running requests, lets the workers go
        await _listen(runner, settings)
        await signals.asked.wait()
        log.info("draining", running=app[SERVICES].queues.running, seconds=settings.drain_seconds)
        app[SERVICES].draining = True
    log.info("stopped")


async def _listen(runner: web.AppRunner, settings: RouterSettings) -> None:
    with _told(settings.host, settings.port):
        await web.TCPSite(runner, settings.host, settings.port).start()
    log.info("listening", url=_url(*runner.addresses[0][:2]))


async def _listen_for_probes(stack: AsyncExitStack, services: Services, host: str, port: int) -> None:
    with _told(host, port):
        port = await stack.enter_async_context(probes(services, host, port))
    log.info("listening for probes", url=_url(host, port))


@contextmanager
def _told(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CannotListenError(f"cannot listen on {host}:{port}: {reason}") from error


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
