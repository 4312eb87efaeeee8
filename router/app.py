"""Puts the router together."""

from collections.abc import AsyncIterator

from aiohttp import web

from router.admission import Admission
from router.endpoints import chat, health, models
from router.middleware import answer_errors, echo_request_id, identify_and_log
from router.pool import Pool
from router.services import KEEP_ALIVE_SECONDS, SERVICES, Services
from textdiffusion.settings import RouterSettings


def build_app(
    settings: RouterSettings, pool: Pool, *, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> web.Application:
    """The application; it follows the pool's workers from its start to its end."""
    app = web.Application(middlewares=[identify_and_log, answer_errors], client_max_size=settings.max_body_bytes)
    app[SERVICES] = Services(
        settings=settings,
        pool=pool,
        admission=Admission(settings.max_running_requests, settings.max_waiting_requests),
        keep_alive_seconds=keep_alive_seconds,
    )
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat.chat_completions),
            web.get("/v1/models", models.list_models),
            web.get("/v1/models/{id:.+}", models.retrieve_model),
            web.get("/health", health.details),
            web.get("/health/live", health.live),
            web.get("/health/ready", health.ready),
        ]
    )
    app.on_response_prepare.append(echo_request_id)
    app.cleanup_ctx.append(_pool_connected)
    return app


async def _pool_connected(app: web.Application) -> AsyncIterator[None]:
    async with app[SERVICES].pool.connected():
        yield
