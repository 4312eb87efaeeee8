from collections.abc import Callable
from typing import Any

from tests.fakes.waiting import eventually
from tests.fakes.worker import FakeWorker, running


async def test_the_router_is_live_before_it_is_ready(start_router: Any) -> None:
    router = await start_router(wait=False)
    assert (await router.get("/health/live"))[0] == 200
    status, body = await router.get("/health/ready")
    assert status == 503
    assert body["reason"] == "the router was given no workers"


async def test_a_worker_that_still_loads_makes_nobody_ready(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    async with running(make_worker(), serving=False) as worker:
        router = await start_router(worker.address, wait=False)
        await eventually(lambda: router.services.pool.workers[0].state.value == "not serving")
        assert (await router.get("/health/ready"))[0] == 503
        await worker.set_serving(True)
        await eventually(lambda: router.services.ready)
        assert (await router.get("/health/ready"))[0] == 200


async def test_a_worker_that_drains_gets_no_more_requests(router: Any, worker: FakeWorker) -> None:
    await worker.set_serving(False)
    await eventually(lambda: not router.services.ready)
    status, body = await router.post({"model": "fake", "messages": [{"role": "user", "content": "hi"}]})
    assert (status, body["error"]["code"]) == (503, "no_healthy_workers")


async def test_a_router_that_drains_is_live_but_not_ready(router: Any) -> None:
    router.services.draining = True
    status, body = await router.get("/health/ready")
    assert (status, body["reason"]) == (503, "the router is shutting down")
    assert (await router.get("/health/live"))[0] == 200


async def test_health_tells_of_every_model_and_worker(router: Any, worker: FakeWorker) -> None:
    status, body = await router.get("/health")
    assert (status, body["status"]) == (200, "ready")
    assert body["requests"] == {"running": 0, "waiting": 0}
    assert body["models"] == [{"id": "fake", "ready": True, "workers": [worker.address]}]
    assert body["workers"] == [
        {
            "address": worker.address,
            "model": "fake",
            "device": "cpu",
            "state": "serving",
            "reason": None,
            "outstanding_positions": 0,
        }
    ]


async def test_health_says_why_a_worker_does_not_serve(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    async with running(make_worker(), serving=False) as loading:
        router = await start_router(loading.address, "127.0.0.1:1", wait=False)
        await eventually(lambda: router.services.pool.workers[0].state.value == "not serving")
        _, body = await router.get("/health")
    told = [(one["address"], one["model"], one["state"], one["reason"]) for one in body["workers"]]
    assert told == [
        (loading.address, None, "not serving", "it says that it is not serving"),
        ("127.0.0.1:1", None, "unreachable", "not connected yet"),
    ]


async def test_health_answers_200_even_when_nothing_is_ready(start_router: Any) -> None:
    router = await start_router("127.0.0.1:1", wait=False)
    status, body = await router.get("/health")
    assert (status, body["status"]) == (200, "not ready")
    assert body["workers"][0]["state"] == "unreachable"
