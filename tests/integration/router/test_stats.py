from collections.abc import Callable
from typing import Any

from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.v1 import textdiffusion_pb2 as pb

FIGURES = pb.GetStatsResponse(
    running_requests=3,
    queued_requests=2,
    forward_passes_total=20,
    committed_tokens_total=90,
    finished_requests_total=7,
    cancelled_requests_total=4,
    memory_used_bytes=1 << 30,
    memory_total_bytes=1 << 40,
    uptime_seconds=12.3456,
    failed_requests_total=1,
    kv_cache_positions_used=128,
    kv_cache_positions_total=512,
    step_batch_sizes=[10, 5, 3, 2],
    step_batch_size_sum=41,
)


async def test_the_stats_tell_what_every_worker_says(router: Any, worker: FakeWorker) -> None:
    worker.stats = FIGURES
    status, body = await router.get("/v1/engine/stats")
    assert status == 200
    assert body["workers"] == [
        {
            "worker": 0,
            "address": worker.address,
            "model": "fake",
            "device": "cpu",
            "state": "serving",
            "figures": {
                "running_requests": 3,
                "queued_requests": 2,
                "finished_requests": 7,
                "cancelled_requests": 4,
                "failed_requests": 1,
                "forward_passes": 20,
                "committed_tokens": 90,
                "step_batch_sizes": {"1": 10, "2": 5, "3-4": 3, "5-8": 2},
                "mean_step_batch_size": 2.05,
                "kv_cache_positions_used": 128,
                "kv_cache_positions": 512,
                "memory_used_bytes": 1 << 30,
                "memory_total_bytes": 1 << 40,
                "uptime_seconds": 12.346,
            },
        }
    ]


async def test_the_figures_of_a_model_are_those_of_its_workers_added_up(
    make_worker: Callable[..., FakeWorker], start_router: Any, worker: FakeWorker
) -> None:
    second, other = make_worker(), make_worker(model_id="other")
    async with running(second), running(other):
        router = await start_router(worker.address, second.address, other.address)
        await eventually(
            lambda: len(router.services.pool.models) == 2 and len(router.services.pool.serving("fake")) == 2
        )
        worker.stats = second.stats = FIGURES
        _, body = await router.get("/v1/engine/stats")
    models = {model["id"]: model for model in body["models"]}
    assert (models["fake"]["workers"], models["other"]["workers"]) == (2, 1)
    assert (models["fake"]["running"], models["fake"]["waiting"]) == (0, 0)
    assert models["fake"]["totals"] == {
        "running_requests": 6,
        "queued_requests": 4,
        "finished_requests": 14,
        "cancelled_requests": 8,
        "failed_requests": 2,
        "forward_passes": 40,
        "committed_tokens": 180,
        "kv_cache_positions_used": 256,
        "kv_cache_positions": 1024,
    }
    assert set(models["other"]["totals"].values()) == {0}


async def test_a_worker_that_does_not_answer_has_no_figures(router: Any, worker: FakeWorker) -> None:
    worker.stats = None
    status, body = await router.get("/v1/engine/stats")
    assert (status, body["workers"][0]["figures"], body["workers"][0]["state"]) == (200, None, "serving")
    assert set(body["models"][0]["totals"].values()) == {0}


async def test_a_router_without_a_worker_in_reach_still_answers(start_router: Any) -> None:
    router = await start_router("127.0.0.1:1", wait=False)
    status, body = await router.get("/v1/engine/stats")
    assert (status, body["models"]) == (200, [])
    told = [(one["worker"], one["address"], one["model"], one["figures"]) for one in body["workers"]]
    assert told == [(0, "127.0.0.1:1", None, None)]


async def test_a_worker_without_a_pass_has_no_mean_batch_size(router: Any) -> None:
    _, body = await router.get("/v1/engine/stats")
    figures = body["workers"][0]["figures"]
    assert (figures["step_batch_sizes"], figures["mean_step_batch_size"]) == ({}, None)
