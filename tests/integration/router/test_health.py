import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.acceptance import RefusedError, uses_all
from testing.waiting import eventually, eventually_async
from testing.worker import FakeWorker, running


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
        workers = router.services.pool.workers
        await eventually(lambda: workers[0].state.value == "not serving" and "yet" not in workers[1].reason)
        _, body = await router.get("/health")
    told = [(one["address"], one["model"], one["state"], one["reason"]) for one in body["workers"]]
    assert told == [
        (loading.address, None, "not serving", "it says that it is not serving"),
        ("127.0.0.1:1", None, "unreachable", "cannot connect: Connection refused"),
    ]


async def test_health_answers_200_even_when_nothing_is_ready(start_router: Any) -> None:
    router = await start_router("127.0.0.1:1", wait=False)
    status, body = await router.get("/health")
    assert (status, body["status"]) == (200, "not ready")
    assert body["workers"][0]["state"] == "unreachable"


PROXIED = {"X-Forwarded-For": "203.0.113.9"}
KEY = {"Authorization": "Bearer sk-alice"}


async def asked_by(router: Any, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async with router.http.get(f"{router.url}{path}", headers=headers) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("headers", [PROXIED, PROXIED | {"Authorization": "Bearer sk-wrong"}])
async def test_health_tells_strangers_of_models_and_not_of_workers(
    worker: FakeWorker, start_router: Any, headers: dict[str, str]
) -> None:
    router = await start_router(worker.address, api_keys={"alice": "sk-alice"})
    status, text = await asked_by(router, "/health", headers)
    assert (status, json.loads(text)) == (
        200,
        {
            "status": "ready",
            "reason": None,
            "requests": {"running": 0, "waiting": 0},
            "models": [{"id": "fake", "ready": True, "workers": []}],
            "workers": [],
            "launcher": None,
        },
    )


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_strangers_learn_neither_where_workers_are_nor_what_is_wrong_with_them(
    make_worker: Callable[..., FakeWorker], start_router: Any, path: str
) -> None:
    refused = make_worker(tokenizer="/private/model")
    async with running(refused):
        router = await start_router(refused.address, "127.0.0.1:1", api_keys={"alice": "sk-alice"}, wait=False)
        await eventually(lambda: router.services.pool.workers[0].state.value == "refused")
        _, text = await asked_by(router, path, PROXIED)
    assert json.loads(text)["reason"] == "no worker serves: 1 refused, 1 unreachable"
    assert "private" not in text
    assert "127.0.0.1" not in text


@pytest.mark.parametrize("headers", [{}, KEY, KEY | PROXIED])
async def test_health_tells_of_workers_to_who_has_a_key_or_is_here(
    worker: FakeWorker, start_router: Any, headers: dict[str, str]
) -> None:
    router = await start_router(worker.address, api_keys={"alice": "sk-alice"})
    body = json.loads((await asked_by(router, "/health", headers))[1])
    assert [one["address"] for one in body["workers"]] == [worker.address]


async def test_without_keys_nobody_is_a_stranger(router: Any, worker: FakeWorker) -> None:
    body = json.loads((await asked_by(router, "/health", PROXIED))[1])
    assert body["models"][0]["workers"] == [worker.address]


async def test_the_launcher_needs_no_key_to_learn_which_workers_are_used(
    make_worker: Callable[..., FakeWorker], start_router: Any, tmp_path: Path
) -> None:
    async with running(make_worker()) as good, running(make_worker(tokenizer_fingerprint="another")) as bad:
        router = await start_router(good.address, bad.address, api_keys={"alice": "sk-alice"})
        async with router.asked_by_its_launcher(tmp_path / "control.sock") as health:

            async def uses(**workers: str) -> bool:
                return uses_all(await health.details(), {address: name for name, address in workers.items()})

            await eventually_async(lambda: uses(first=good.address))
            with pytest.raises(RefusedError, match="the router refuses second: it"):
                await eventually_async(lambda: uses(first=good.address, second=bad.address))
