"""GET /health and what probes ask.

Live means that the event loop turns: it stays true while the router drains, so that nobody kills it for that. Ready
means that a request sent now would find a worker.
"""

from typing import Any

from aiohttp import web

from router.services import SERVICES, Services


async def live(_: web.Request) -> web.Response:
    return web.json_response({"status": "live"})


async def ready(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    if services.ready:
        return web.json_response({"status": "ready"})
    return web.json_response({"status": "not ready", "reason": _why_not(services)}, status=503)


async def details(request: web.Request) -> web.Response:
    """Always 200; scripts and the launcher poll it.

        {"status": "ready" | "not ready", "reason": str | null,
         "requests": {"running": int, "waiting": int},
         "models": [{"id": str, "ready": bool, "workers": [address, ...]}, ...],
         "workers": [{"address": str, "model": str | null, "device": str | null,
                      "state": "unreachable" | "not serving" | "serving" | "refused", "reason": str | null,
                      "outstanding_positions": int}, ...]}

    Workers stand in the order in which the router was given them, under the addresses that it was given. Model and
    device are null until a worker has first said them; a reason is null where there is nothing to explain.
    """
    services = request.app[SERVICES]
    return web.json_response(
        {
            "status": "ready" if services.ready else "not ready",
            "reason": None if services.ready else _why_not(services),
            "requests": {"running": services.admission.running, "waiting": services.admission.waiting},
            "models": _models(services),
            "workers": _workers(services),
        }
    )


def _why_not(services: Services) -> str:
    if services.draining:
        return "the router is shutting down"
    if not services.pool.workers:
        return "the router was given no workers"
    return "; ".join(f"{worker.address} is {worker.state.value}" for worker in services.pool.workers)


def _models(services: Services) -> list[dict[str, Any]]:
    return [
        {
            "id": model.id,
            "ready": bool(services.pool.serving(model.id)),
            "workers": [worker.address for worker in services.pool.serving(model.id)],
        }
        for model in services.pool.models.values()
    ]


def _workers(services: Services) -> list[dict[str, Any]]:
    return [
        {
            "address": worker.address,
            "model": worker.info.model_id if worker.info else None,
            "device": worker.info.device if worker.info else None,
            "state": worker.state.value,
            "reason": worker.reason or None,
            "outstanding_positions": services.pool.outstanding(worker),
        }
        for worker in services.pool.workers
    ]
