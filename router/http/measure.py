"""Counts every request, whatever becomes of it."""

import time

from aiohttp import web

from router.errors import RouterError, answer_to
from router.http.middleware import CLIENT_LEFT, Handler
from router.metrics import Metrics
from router.services import FACTS, SERVICES

UNMATCHED = "unmatched"


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware: what it sees is what is sent."""
    metrics = request.app[SERVICES].metrics
    started = time.perf_counter()
    status = CLIENT_LEFT
    try:
        response = await handler(request)
        status = response.status
    finally:
        metrics.http_request(_route(request), request.method, status, time.perf_counter() - started)
        if error := request.get(FACTS, {}).get("error"):
            metrics.request_error(error)
    return response


def count_refused(metrics: Metrics, method: str, error: RouterError) -> None:
    """A request that no middleware saw."""
    answer = answer_to(error)
    metrics.http_request(UNMATCHED, method, answer.status, seconds=0)
    metrics.request_error(answer.name)


def _route(request: web.Request) -> str:
    """The template: paths are the client's, and there is no end to them."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else UNMATCHED
