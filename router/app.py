"""Puts the router together."""

import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import web

from router.generation.admission import Admission, Queues
from router.generation.service import GenerationService
from router.http.cors import ALLOWED_ORIGINS, AllowedOrigins, allow_origin, answer_preflight
from router.http.hosts import KNOWN_HOSTS, KnownHosts, check_host, needs_host_check
from router.http.keys import API_KEYS, ApiKeys, authenticate
from router.http.leaving import UNFINISHED, Unfinished, end_in_words, part_from_clients
from router.http.limits import RATE_LIMITS, RateLimits, limit_requests, tell_limits
from router.http.measure import measure
from router.http.middleware import answer_errors, echo_request_id, identify_and_log
from router.http.routing import ROUTES
from router.metrics import Metrics, QueueState
from router.routes import TABLE
from router.services import SERVICES, Services
from router.tracing import trace
from router.workers.pool import Pool
from textdiffusion.router_settings import RouterSettings
from textdiffusion.spans import NO_TRACING, Tracing

OVERCOMMITMENT: Final = 1.25


def build_app(
    settings: RouterSettings,
    pool: Pool,
    *,
    tracing: Tracing = NO_TRACING,
    status_path: str | None = None,
) -> web.Application:
    """The application; it follows the pool's workers from its start to its end."""
    about_whole = [measure, identify_and_log, answer_preflight, trace, answer_errors, end_in_words]
    about_sender = [*([check_host] if needs_host_check(settings) else []), authenticate, limit_requests]
    middlewares = [*about_whole, *about_sender]
    app = web.Application(middlewares=middlewares, client_max_size=settings.max_body_bytes)
    app[UNFINISHED] = Unfinished()
    app[ALLOWED_ORIGINS] = AllowedOrigins(settings.allowed_origins)
    app[KNOWN_HOSTS] = KnownHosts(settings.allowed_hosts)
    app[API_KEYS] = ApiKeys(settings.digests)
    app[RATE_LIMITS] = RateLimits(settings.requests_per_minute, settings.tokens_per_minute)
    queues = _queues(settings, pool)
    app[SERVICES] = Services(
        settings=settings,
        pool=pool,
        queues=queues,
        generation=GenerationService(pool, queues, settings.queue_timeout_seconds),
        metrics=Metrics(lambda: _queue_states(queues, pool)),
        tracing=tracing,
        status_path=status_path,
    )
    served = [route for route in TABLE.routes if not route.setting or getattr(settings, route.setting)]
    app[ROUTES] = TABLE
    app.add_routes([web.route(route.method, route.path, route.handler) for route in served])
    app.on_response_prepare.extend([echo_request_id, tell_limits, allow_origin, part_from_clients])
    app.cleanup_ctx.append(_pool_connected)
    return app


def _queues(settings: RouterSettings, pool: Pool) -> Queues:
    """A queue for each model, with as many slots before its workers as they have places, and a few more.

    Those wait at the workers, so that a place that becomes free is taken with the next step and not with the one after.
    """

    def make(model_id: str) -> Admission:
        def capacity() -> int:
            places = pool.places(model_id)
            return min(places, 1) * (settings.max_running_requests or math.ceil(places * OVERCOMMITMENT))

        return Admission(capacity, settings.max_waiting_requests, settings.queue_timeout_seconds, time.monotonic)

    queues = Queues(make)
    pool.on_change = queues.fill
    return queues


def _queue_states(queues: Queues, pool: Pool) -> Iterator[QueueState]:
    for model_id in pool.models:
        admission = queues.of(model_id)
        yield QueueState(model_id, admission.running, admission.waiting)


async def _pool_connected(app: web.Application) -> AsyncIterator[None]:
    async with app[SERVICES].pool.connected():
        yield
