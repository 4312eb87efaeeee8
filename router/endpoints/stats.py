"""GET /v1/engine/stats: the same figures as /metrics has, for people and scripts."""

from collections.abc import Sequence

from aiohttp import web

from router.schema.stats import EngineStats, Figures, ModelStats, Totals, WorkerStats
from router.services import SERVICES, Services
from router.workers.families import size_bounds
from router.workers.stats import WorkerSnapshot, take_snapshots
from textdiffusion.v1.textdiffusion_pb2 import GetStatsResponse


async def engine_stats(request: web.Request) -> web.Response:
    """Always 200; a worker that does not answer within a second has null for its figures."""
    services = request.app[SERVICES]
    snapshots = await take_snapshots(services.pool.workers)
    answer: EngineStats = {
        "models": _models(services, snapshots),
        "workers": [_worker(one) for one in snapshots],
    }
    return web.json_response(answer)


def _models(services: Services, snapshots: Sequence[WorkerSnapshot]) -> list[ModelStats]:
    queues = {state.model: state for state in services.metrics.queues()}
    return [
        {
            "id": model,
            "running": queues[model].running if model in queues else 0,
            "waiting": queues[model].waiting if model in queues else 0,
            "workers": len(services.pool.serving(model)),
            "totals": _totals([one.stats for one in snapshots if one.stats and one.model == model]),
        }
        for model in services.pool.models
    ]


def _worker(snapshot: WorkerSnapshot) -> WorkerStats:
    return {
        "worker": snapshot.number,
        "address": snapshot.address,
        "model": snapshot.info.model_id if snapshot.info else None,
        "device": snapshot.info.device if snapshot.info else None,
        "state": snapshot.state.value,
        "figures": _figures(snapshot.stats) if snapshot.stats else None,
    }


def _figures(stats: GetStatsResponse) -> Figures:
    sizes = stats.step_batch_sizes
    passes = sum(sizes)
    return {
        **_totals([stats]),
        "step_batch_sizes": {
            str(high) if low == high else f"{low}-{high}": count
            for (low, high), count in zip(size_bounds(sizes), sizes, strict=True)
        },
        "mean_step_batch_size": round(stats.step_batch_size_sum / passes, 3) if passes else None,
        "memory_used_bytes": stats.memory_used_bytes,
        "memory_total_bytes": stats.memory_total_bytes,
        "uptime_seconds": round(stats.uptime_seconds, 3),
    }


def _totals(answers: Sequence[GetStatsResponse]) -> Totals:
    def total(name: str) -> int:
        return sum(getattr(stats, name) for stats in answers)

    return {
        "running_requests": total("running_requests"),
        "queued_requests": total("queued_requests"),
        "finished_requests": total("finished_requests_total"),
        "cancelled_requests": total("cancelled_requests_total"),
        "failed_requests": total("failed_requests_total"),
        "forward_passes": total("forward_passes_total"),
        "committed_tokens": total("committed_tokens_total"),
        "kv_cache_positions_used": total("kv_cache_positions_used"),
        "kv_cache_positions": total("kv_cache_positions_total"),
    }
