"""Answers what aiohttp would refuse by itself, before any middleware runs.

What is not HTTP at all, or expects more than HTTP can do, would get plain text without a request id, and would leave a
traceback in the log for any stranger to fill it with.
"""

import asyncio
import math
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import ContentEncodingError, InvalidURLError, LineTooLong

from router.errors import InvalidHttpError, RouterError, UnsupportedMediaTypeError
from router.http.body import ENCODINGS_SENTENCE
from router.http.cors import ALLOWED_ORIGINS, AllowedOrigins
from router.http.leaving import LAST_WORDS_SECONDS, UNFINISHED
from router.http.measure import count_refused
from router.http.middleware import REQUEST_ID_HEADER, error_response, from_http, new_request_id
from router.http.paths import ignoring_slashes
from router.metrics import Metrics
from router.services import SERVICES
from textdiffusion.tasks import holds_within

log = structlog.get_logger(__name__)


class Connection(web.RequestHandler):
    __slots__ = ("_metrics", "_origins")

    def __init__(self, manager: "Server", metrics: Metrics, origins: AllowedOrigins) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type]
        self._metrics = metrics
        self._origins = origins

    @property
    def busy(self) -> bool:
        """Whether there is a request to answer, or an answer to send; else it waits for the next request."""
        waits = self._waiter is not None and not self._waiter.done() and not self._messages
        return not waits or (self.transport is not None and self.transport.get_write_buffer_size() > 0)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError):
            return self._refusal(request, _from_parser(exc))
        return super().handle_error(request, status, exc, message)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = self._refusal(request, from_http(request, resp))
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):  # the rest of a body that was refused
            super().log_exception(*args, **kwargs)

    def _refusal(self, request: web.BaseRequest, error: RouterError) -> web.Response:
        response = error_response(error)
        response.headers[REQUEST_ID_HEADER] = new_request_id()
        response.force_close()
        self._origins.add_headers(request, response)
        count_refused(self._metrics, request.method, error)
        log.info(
            "refused", request_id=response.headers[REQUEST_ID_HEADER], status=response.status, reason=error.message
        )
        return response


class Server(web.Server):
    def __init__(self, theirs: web.Server, metrics: Metrics, origins: AllowedOrigins) -> None:
        # Without `handler_cancellation` nobody notices that a client has left.
        super().__init__(
            theirs.request_handler, request_factory=ignoring_slashes(theirs.request_factory), handler_cancellation=True
        )
        self._metrics = metrics
        self._origins = origins

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._metrics, self._origins)

    @property
    def busy(self) -> bool:
        """Whether any connection is."""
        return any(isinstance(one, Connection) and one.busy for one in self.connections)


class Runner(web.AppRunner):
    """Serves an application; `cleanup` ends that in the order in which nobody loses a reply."""

    __slots__ = ("_drain_seconds",)

    def __init__(self, app: web.Application, drain_seconds: float) -> None:
        super().__init__(app, shutdown_timeout=LAST_WORDS_SECONDS)
        self._drain_seconds = drain_seconds

    @property
    def connections(self) -> int:
        return len(self.server.connections) if self.server else 0

    async def stop_accepting(self) -> None:
        """On the port, that is: on the control socket the launcher may go on asking how it goes."""
        for site in self.sites:
            if not isinstance(site, web.UnixSite):
                await site.stop()

    async def left_alone(self, seconds: float) -> None:
        """Returns once there is no connection or, after so many seconds, none that has a request."""
        if not await holds_within(seconds, lambda: not self.connections):
            await holds_within(math.inf, lambda: not self._busy)

    async def cleanup(self) -> None:
        """Stops accepting and refuses what still comes, while requests that run have `drain_seconds` to be answered.

        Left to itself, aiohttp would close connections on which requests may be on their way, and cut off the replies
        that are not there in time.
        """
        await self.stop_accepting()
        self.app[SERVICES].draining = True
        if not await holds_within(self._drain_seconds, lambda: not self._busy):
            self.app[UNFINISHED].end()
            await holds_within(LAST_WORDS_SECONDS, lambda: not self._busy)
        await super().cleanup()

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self.app[SERVICES].metrics, self.app[ALLOWED_ORIGINS])

    @property
    def _busy(self) -> bool:
        return isinstance(self.server, Server) and self.server.busy


def _from_parser(error: HttpProcessingError) -> RouterError:
    if isinstance(error, ContentEncodingError):
        return UnsupportedMediaTypeError(ENCODINGS_SENTENCE)
    if isinstance(error, LineTooLong):
        return InvalidHttpError("The URL or a header of the request is longer than this server reads.")
    if isinstance(error, InvalidURLError):
        return InvalidHttpError("The request's URL cannot be read.")
    reason, _, _quoted = error.message.partition(":")
    return InvalidHttpError(f"The request is not valid HTTP: {reason}.")
