"""What the endpoints work with."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from router.admission import Admission
from router.pool import Pool
from textdiffusion.settings import RouterSettings

KEEP_ALIVE_SECONDS = 15.0


@dataclass(slots=True)
class Services:
    settings: RouterSettings
    pool: Pool
    admission: Admission
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    draining: bool = False

    @property
    def ready(self) -> bool:
        return not self.draining and self.pool.ready


SERVICES = web.AppKey("services", Services)
REQUEST_ID = web.RequestKey("request_id", str)
FACTS = web.RequestKey("facts", dict[str, Any])  # for the request's line in the log
