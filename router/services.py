"""What the endpoints work with."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from router.generation.admission import Queues
from router.generation.service import GenerationService
from router.metrics import Metrics
from router.workers.pool import Pool
from textdiffusion.router_settings import RouterSettings
from textdiffusion.spans import NO_TRACING, Tracing

SHUTTING_DOWN = "the router is shutting down"


@dataclass(slots=True)
class Services:
    settings: RouterSettings
    pool: Pool
    queues: Queues
    generation: GenerationService
    metrics: Metrics
    tracing: Tracing = NO_TRACING
    status_path: str | None = None  # of the socket on which the launcher tells of itself
    leaving: str = ""  # why nobody should send more; who does is served nevertheless
    draining: bool = False  # more is refused

    @property
    def ready(self) -> bool:
        return not (self.leaving or self.draining) and self.pool.ready


SERVICES = web.AppKey("services", Services)
REQUEST_ID = web.RequestKey("request_id", str)
FACTS = web.RequestKey("facts", MutableMapping[str, Any])  # for the request's line in the log
