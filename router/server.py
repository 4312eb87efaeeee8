"""Runs the router from its first signal handler to its last byte."""

import asyncio
import os
import signal

import structlog
from aiohttp import web

from router.app import build_app
from router.connection import Runner
from router.pool import Pool
from router.services import SERVICES
from textdiffusion.settings import RouterSettings

log = structlog.get_logger(__name__)

EXIT_FORCED = 1


class CannotListenError(Exception):
    """The address cannot be listened on; says why in a sentence."""


async def serve(settings: RouterSettings) -> None:
    """Serves until SIGTERM or SIGINT; a second signal ends the process at once. Raises `CannotListenError`."""
    stop = _stop_signal()
    app = build_app(settings, Pool(settings.workers))
    runner = Runner(app, settings.drain_seconds)
    await runner.setup()
    try:
        await _listen(runner, settings)
        await stop.wait()
        log.info("draining", running=app[SERVICES].admission.running, seconds=settings.drain_seconds)
        app[SERVICES].draining = True
    finally:
        await runner.cleanup()  # stops accepting, waits for running requests, lets the workers go
    log.info("stopped")


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(EXIT_FORCED)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _listen(runner: web.AppRunner, settings: RouterSettings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CannotListenError(f"cannot listen on {settings.host}:{settings.port}: {reason}") from error
    host, port = runner.addresses[0][:2]
    log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
