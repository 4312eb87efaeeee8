from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from launcher import health
from launcher.health import Load, RouterHealth, WorkerHealth
from testing.worker import SERVING, FakeWorker, running
from textdiffusion.v1 import textdiffusion_pb2 as pb


@pytest.fixture
async def worker() -> AsyncIterator[FakeWorker]:
    stats = pb.GetStatsResponse(running_requests=2, queued_requests=1)
    async with running(FakeWorker(pb.GetInfoResponse(), stats=stats), serving=False) as worker:
        yield worker


@pytest.fixture
async def of_worker(worker: FakeWorker) -> AsyncIterator[WorkerHealth]:
    of_worker = WorkerHealth(worker.address)
    yield of_worker
    await of_worker.close()


async def test_a_worker_that_loads_lives_or_not_but_does_not_serve(worker: FakeWorker, of_worker: WorkerHealth) -> None:
    assert not await of_worker.serves()
    await worker.health.set("", SERVING)
    assert await of_worker.lives()
    assert not await of_worker.serves()


async def test_a_worker_serves_when_its_service_does(worker: FakeWorker, of_worker: WorkerHealth) -> None:
    await worker.set_serving(serving=True)
    assert await of_worker.serves()


async def test_a_worker_says_what_it_has_to_do(of_worker: WorkerHealth) -> None:
    assert await of_worker.load() == Load(2, 1)


async def test_where_nobody_listens_nobody_lives(tmp_path: Path) -> None:
    nobody = WorkerHealth(f"unix:{tmp_path}/nobody.sock")
    assert not await nobody.serves()
    assert not await nobody.lives()
    assert await nobody.load() is None
    await nobody.close()


async def test_a_worker_that_does_not_answer_in_time_does_not_live(
    worker: FakeWorker, of_worker: WorkerHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOAD_SECONDS", 0.1)
    worker.stats = None
    assert await of_worker.load() is None


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts a router that answers so, on a control socket."""
    runners, clients = [], []

    async def start(answer: Callable[[], web.Response]) -> RouterHealth:
        async def handle(_: web.Request) -> web.Response:
            return answer()

        app = web.Application()
        app.add_routes([web.get(path, handle) for path in ("/health", "/health/live")])
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        control = tmp_path / f"{len(runners)}.sock"
        await web.UnixSite(runners[-1], str(control)).start()
        clients.append(RouterHealth(control))
        return clients[-1]

    yield start
    for client in clients:
        await client.close()
    for runner in runners:
        await runner.cleanup()


async def test_a_router_serves_as_soon_as_it_answers_there(router: Callable[..., Any]) -> None:
    answer = {"requests": {"running": 3, "waiting": 4}, "workers": []}
    of_router = await router(lambda: web.json_response(answer))
    assert await of_router.serves()
    assert await of_router.lives()
    assert await of_router.details() == answer
    assert await of_router.load() == Load(3, 4)


@pytest.mark.parametrize("response", [lambda: web.Response(status=500), lambda: web.Response(text="?")])
async def test_a_router_that_talks_nonsense_says_nothing(
    router: Callable[..., Any], response: Callable[[], web.Response]
) -> None:
    of_router = await router(response)
    assert await of_router.load() is None


async def test_a_router_that_is_not_there_does_not_live(tmp_path: Path) -> None:
    nobody = RouterHealth(tmp_path / "nobody.sock")
    assert not await nobody.lives()
    assert await nobody.load() is None
    await nobody.close()
