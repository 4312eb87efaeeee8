from structlog.testing import capture_logs

from router.workers.line import Dialer
from router.workers.stats import take_snapshots
from router.workers.worker import Worker, WorkerState
from textdiffusion.addresses import parse_address


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
