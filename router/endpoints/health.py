"""GET /health and what probes ask.

Live means that the event loop turns: it stays true while the router drains, so that nobody kills it for that. Ready
means that a request sent now would find a worker. Anyone may ask: where workers are, and what is wrong with them,
is told to those alone who have a key or are on this machine.
"""

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from router.http.keys import is_launcher, is_stranger
from router.launcher_status import launcher_status
from router.schema.health import Health, HealthModel, HealthWorker, Live, NotReady, Ready
from router.services import SERVICES, SHUTTING_DOWN, Services
from router.workers.worker import Worker
from textdiffusion.status import LauncherStatus


async def live(_: web.Request) -> web.Response:
    answer: Live = {"status": "live"}
    return web.json_response(answer)


async def ready(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    if services.ready:
        yes: Ready = {"status": "ready"}
        return web.json_response(yes)
    no: NotReady = {"status": "not ready", "reason": _why_not(services)}
    return web.json_response(no, status=503)


async def details(request: web.Request) -> web.Response:
    """Always 200; scripts and the launcher poll it."""
    services = request.app[SERVICES]
    stranger = is_stranger(request)
    shown = [] if stranger else services.pool.workers
    answer: Health = {
        "status": "ready" if services.ready else "not ready",
        "reason": None if services.ready else _why_not(services),
        "requests": {"running": services.queues.running, "waiting": services.queues.waiting},
        "models": _models(services, shown),
        "workers": _workers(services, shown),
        "launcher": None if stranger else await _launcher(request),
    }
    return web.json_response(answer)


def _why_not(services: Services) -> str:
    if services.leaving:
        return services.leaving
    if services.draining:
        return SHUTTING_DOWN
    if not services.pool.workers:
        return "the router was given no workers"
    states = Counter(worker.state.value for worker in services.pool.workers)
    return f"no worker serves: {', '.join(f'{count} {state}' for state, count in states.items())}"


def _models(services: Services, shown: Sequence[Worker]) -> list[HealthModel]:
    return [
        {
            "id": model.id,
            "ready": bool(services.pool.serving(model.id)),
            "workers": [worker.address for worker in services.pool.serving(model.id) if worker in shown],
        }
        for model in services.pool.models.values()
    ]


async def _launcher(request: web.Request) -> LauncherStatus | None:
    """The launcher itself is told nothing of it: what it says may depend on the answer that it waits for."""
    path = request.app[SERVICES].status_path
    return None if path is None or is_launcher(request) else await launcher_status(path)


def _workers(services: Services, shown: Sequence[Worker]) -> list[HealthWorker]:
    return [
        {
            "address": worker.address,
            "model": worker.info.model_id if worker.info else None,
            "device": worker.info.device if worker.info else None,
            "state": worker.state.value,
            "reason": worker.reason or None,
            "outstanding_positions": services.pool.outstanding(worker),
        }
        for worker in shown
    ]
