import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from router.workers import worker as worker_module
from router.workers.line import Dialer
from router.workers.stats import take_snapshots
from router.workers.worker import Worker, WorkerState
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.addresses import parse_address
from textdiffusion.tasks import cancelled
from textdiffusion.v1.textdiffusion_pb2 import GetInfoResponse


async def test_that_a_worker_cannot_be_reached_is_logged_once_though_the_reasons_change() -> None:
    worker = Worker(Dialer().dial(parse_address("127.0.0.1:1"), "127.0.0.1"))
    with capture_logs() as logs:
        for reason in ("one thing", "another", "one thing"):
            worker.lose(reason)
            assert worker.reason == reason
    await worker.close()
    assert [line["reason"] for line in logs] == ["one thing"]


async def test_a_worker_that_has_been_let_go_of_has_no_figures() -> None:
    worker = Worker(Dialer().dial(parse_address("127.0.0.1:1"), "127.0.0.1"))
    worker.state = WorkerState.SERVING
    await worker.finish()
    (snapshot,) = await take_snapshots([worker])
    assert snapshot.stats is None


async def test_a_worker_whom_the_router_fails_to_admit_is_tried_again(
    make_worker: Callable[..., FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "REFUSED_SECONDS", 0.01)
    defects = [KeyError("a"), RuntimeError("b")]
    reasons = []

    async def admit(_info: GetInfoResponse) -> None:
        reasons.append(worker.reason)
        if defects:
            raise defects.pop()

    async with running(make_worker()) as fake:
        worker = Worker(Dialer().dial(parse_address(fake.address), "127.0.0.1"))
        with capture_logs() as logs:
            following = asyncio.create_task(worker.follow(admit))
            await eventually(lambda: worker.state is WorkerState.SERVING)
        await cancelled(following)
        await worker.close()
    assert "RuntimeError" in reasons[1]
    assert "KeyError" in reasons[2]
    assert [line["event"] for line in logs].count("worker cannot be followed") == 2
