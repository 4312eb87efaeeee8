"""GET /metrics: what Prometheus scrapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from router.services import SERVICES
from router.workers.families import worker_families
from router.workers.stats import WorkerSnapshot, take_snapshots

OPEN_METRICS = "application/openmetrics-text"


async def metrics(request: web.Request) -> web.Response:
    """Workers that do not answer within a second are left out, but for their state."""
    services = request.app[SERVICES]
    services.metrics.meet(services.pool.models)
    scrape = Scrape(services.metrics.registry, await take_snapshots(services.pool.workers))
    # Without its parameters: the library trips over versions that are none.
    wanted = OPEN_METRICS if OPEN_METRICS in ",".join(request.headers.getall(hdrs.ACCEPT, [])) else ""
    encode, content_type = choose_encoder(wanted)
    return web.Response(body=encode(scrape), headers={hdrs.CONTENT_TYPE: content_type})


@dataclass(frozen=True, slots=True)
class Scrape:
    """What the router has counted and what its workers say, as one collector."""

    registry: CollectorRegistry
    snapshots: Sequence[WorkerSnapshot]

    def collect(self) -> Iterator[Metric]:
        for family in (*self.registry.collect(), *worker_families(self.snapshots)):
            # Prometheus' text format would tell when a series began as a second series, which it is not worth.
            family.samples = [sample for sample in family.samples if sample.name != f"{family.name}_created"]
            yield family
