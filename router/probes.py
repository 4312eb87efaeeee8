"""Health on a port and a thread of its own, so that however busy the router is, probes are not answered late.

Under load an answer from the busy event loop may miss a probe's deadline, and a healthy router would be killed for it.
From another thread readiness can be read at any time; liveness is whether the event loop still leaves its marks.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from socket import socket
from typing import Final

from aiohttp import web

from router.endpoints import health
from router.http.middleware import answer_errors, identify_and_log
from router.http.paths import ignoring_slashes
from router.http.routing import ROUTES
from router.listening import listen
from router.routes import TABLE
from router.services import SERVICES, Services
from textdiffusion.addresses import TcpAddress
from textdiffusion.tasks import cancelled

BEAT_SECONDS: Final = 0.5
STUCK_SECONDS: Final = 15.0


class Heartbeat:
    """Tells other threads whether this event loop still turns."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()

    @property
    def stuck(self) -> bool:
        return self._clock() - self._at > STUCK_SECONDS

    def mark(self) -> None:
        self._at = self._clock()

    async def beat(self) -> None:
        while True:
            self.mark()
            await asyncio.sleep(BEAT_SECONDS)


@asynccontextmanager
async def probes(services: Services, host: str, port: int, sockets: Sequence[socket] = ()) -> AsyncIterator[TcpAddress]:
    """Answers for as long as the context lasts, at an address that it gives. Raises `OSError` if it cannot listen.

    `sockets`, which listen already, take the place of `host` and `port`.
    """
    heartbeat = Heartbeat()
    listener = Listener(build_probes(services, heartbeat), host, port, sockets)
    beating = asyncio.create_task(heartbeat.beat())
    try:
        yield await listener.start()
    finally:
        await listener.stop()
        await cancelled(beating)


def build_probes(services: Services, heartbeat: Heartbeat) -> web.Application:
    async def live(request: web.Request) -> web.Response:
        if heartbeat.stuck:
            return web.json_response({"status": "stuck"}, status=503)
        return await health.live(request)

    handlers = {health.live: live, health.ready: health.ready}
    app = web.Application(middlewares=[identify_and_log, answer_errors])
    app[SERVICES] = services
    app[ROUTES] = TABLE
    app.add_routes(web.get(one.path, handlers[one.handler]) for one in TABLE.routes if one.handler in handlers)
    return app


class Listener:
    """Serves an application from a thread with an event loop of its own."""

    def __init__(self, app: web.Application, host: str, port: int, sockets: Sequence[socket] = ()) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._sockets = sockets
        self._listening: Future[TcpAddress] = Future()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    async def start(self) -> TcpAddress:
        """Where it listens. Raises `OSError` if it cannot be listened on."""
        self._thread.start()
        return await asyncio.wrap_future(self._listening)

    async def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        if runner.server:
            runner.server.request_factory = ignoring_slashes(runner.server.request_factory)
        try:
            address = await listen(runner, self._host, self._port, self._sockets)
        except OSError as error:
            self._listening.set_exception(error)
        else:
            self._listening.set_result(address)
            await self._over.wait()
        finally:
            await runner.cleanup()
