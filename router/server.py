"""Runs the router from its first signal handler to its last byte."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from typing import Final

import structlog
from aiohttp import web

from router.app import build_app
from router.http.connection import Runner
from router.http.keys import warn_if_all_can_read
from router.inherited import NOTHING, Inherited
from router.listening import listen, told
from router.probes import probes
from router.services import SERVICES, SHUTTING_DOWN, Services
from router.workers.line import Dialer
from router.workers.pool import Pool
from textdiffusion.addresses import TcpAddress
from textdiffusion.router_settings import RouterSettings
from textdiffusion.signals import EXIT_FORCED, StopSignals
from textdiffusion.spans import NO_TRACING, Tracing
from textdiffusion.tasks import either

log = structlog.get_logger(__name__)

# How long connections wait in the launcher's sockets: for word of the workers, and for the tokenizers of those that
# serve. Accepted before that, they would be told that no worker serves.
HEARING_SECONDS: Final = 5.0
TOKENIZER_SECONDS: Final = 40.0
IDLE_SECONDS: Final = 10.0  # for clients to use, or leave, the connections to a router that another has relieved
TAKEN_OVER: Final = "another router has taken over"


async def serve(settings: RouterSettings, tracing: Tracing = NO_TRACING, inherited: Inherited = NOTHING) -> None:
    """Serves until SIGTERM or SIGINT, or until SIGUSR1 says that another router has taken over the port.

    A second signal to stop ends the process at once. Raises `CannotListenError`.
    """
    stop, taken_over = StopSignals.installed(lambda: os._exit(EXIT_FORCED)).asked, _takeover_signal()
    if settings.api_keys_file:
        warn_if_all_can_read(settings.api_keys_file)
    pool = Pool(settings.workers, Dialer.from_settings(settings), templates=settings.templates)
    app = build_app(settings, pool, tracing=tracing, status_path=inherited.status_path)
    services = app[SERVICES]
    runner = Runner(app, settings.drain_seconds)
    await runner.setup()
    async with AsyncExitStack() as stack:
        stack.callback(log.info, "stopped")
        probing = await stack.enter_async_context(AsyncExitStack())
        stack.push_async_callback(runner.cleanup)  # has running requests finished, lets the workers go
        if inherited.sockets:
            await either(stop.wait(), pool.heard_of_all(HEARING_SECONDS, TOKENIZER_SECONDS))
        if stop.is_set():
            return
        await _listen_for_probes(probing, services, settings, inherited)
        await _listen(runner, settings, inherited)
        await either(stop.wait(), taken_over.wait())
        if taken_over.is_set():
            await probing.aclose()  # first, as its answers are about the port, and not about this router
            await _be_relieved(runner, services, settings, stop)
        else:
            await _settle(services, settings.settle_seconds, taken_over)
        log.info("draining", running=services.queues.running, seconds=settings.drain_seconds)


def _takeover_signal() -> asyncio.Event:
    taken_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, taken_over.set)
    return taken_over


async def _listen(runner: Runner, settings: RouterSettings, inherited: Inherited) -> None:
    """On the control socket last: whoever gets an answer there knows that the port is accepted on."""
    with told(str(TcpAddress(settings.host, settings.port))):
        address = await listen(runner, settings.host, settings.port, inherited.sockets)
    log.info("listening", url=f"http://{address}")
    if inherited.control_path:
        with told(inherited.control_path):
            await web.UnixSite(runner, inherited.control_path).start()


async def _listen_for_probes(
    probing: AsyncExitStack, services: Services, settings: RouterSettings, inherited: Inherited
) -> None:
    if settings.probe_port is None and not inherited.probe_sockets:
        return
    port = settings.probe_port or 0
    with told(str(TcpAddress(settings.host, port))):
        address = await probing.enter_async_context(probes(services, settings.host, port, inherited.probe_sockets))
    log.info("listening for probes", url=f"http://{address}")


async def _be_relieved(runner: Runner, services: Services, settings: RouterSettings, stop: asyncio.Event) -> None:
    """Serves those who are connected, until they have moved over to the other router or their time is up.

    Nothing hurries it: requests that run have as much time as they would have had without the other router.
    """
    services.leaving = TAKEN_OVER
    await runner.stop_accepting()
    most = settings.request_timeout_seconds
    log.info("relieved", running=services.queues.running, connections=runner.connections, seconds=most)
    await either(stop.wait(), runner.left_alone(IDLE_SECONDS), asyncio.sleep(most))


async def _settle(services: Services, seconds: float, taken_over: asyncio.Event) -> None:
    """Serves as ever, and says that it will not for long; that is of no use once another router has the port."""
    services.leaving = SHUTTING_DOWN
    if seconds:
        log.info("settling", seconds=seconds)
        await either(taken_over.wait(), asyncio.sleep(seconds))
