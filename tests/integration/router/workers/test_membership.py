"""Workers behind names: they come, they go, and nobody who is being served notices."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from router.workers import membership
from router.workers.line import Dialer, Line, Security
from testing.certificates import Authority
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.addresses import TcpAddress, WorkerAddress, parse_address
from textdiffusion.tls import client_credentials, server_credentials

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
NAME = "workers.internal:50051"

MakeWorker = Callable[..., FakeWorker]


@dataclass(frozen=True, kw_only=True)
class Network(Dialer):
    """Machines with addresses that this one does not have, each of which is a fake worker on this one."""

    machines: dict[str, FakeWorker] = field(default_factory=dict)

    def dial(self, address: WorkerAddress, name: str) -> Line:
        assert isinstance(address, TcpAddress)
        machine = self.machines.get(address.host)
        line = super().dial(parse_address(machine.address if machine else "127.0.0.1:1"), name)
        return replace(line, address=str(address))


@dataclass
class Names:
    """A name server that says what it is told to."""

    ips: Sequence[str] = ()
    failure: str = ""
    defect: Exception | None = None
    asked: int = 0

    async def __call__(self, name: str) -> Sequence[str]:
        assert name == "workers.internal"
        self.asked += 1
        if self.failure:
            raise OSError(-2, self.failure)
        if self.defect:
            raise self.defect
        return self.ips

    async def asked_again(self) -> None:
        before = self.asked
        await eventually(lambda: self.asked > before + 1)


@pytest.fixture(autouse=True)
def _names_are_looked_up_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "LOOK_UP_SECONDS", 0.01)


@pytest.fixture
async def network(make_worker: MakeWorker) -> AsyncIterator[Network]:
    async with AsyncExitStack() as stack:
        ips = ("10.0.0.1", "10.0.0.2", "fd00::3")
        yield Network(machines={ip: await stack.enter_async_context(running(make_worker())) for ip in ips})


@pytest.fixture
def start(start_router: Any, network: Network) -> Any:
    async def start(names: Names, *addresses: str, wait: bool = True) -> Any:
        return await start_router(
            *(addresses or [NAME]), dialer=network, resolve=names, wait=wait, allow_plaintext_workers=True
        )

    return start


def serving(router: Any) -> list[str]:
    return [worker.address for worker in router.services.pool.workers if worker.state.value == "serving"]


async def test_each_address_of_a_name_is_a_worker_of_its_own(start: Any, network: Network) -> None:
    router = await start(Names(["10.0.0.1", "10.0.0.2", "fd00::3"]))
    await eventually(lambda: serving(router) == ["10.0.0.1:50051", "10.0.0.2:50051", "[fd00::3]:50051"])
    for _ in range(3):
        assert (await router.post(ASK))[0] == 200
    assert [len(machine.requests) for machine in network.machines.values()] == [1, 1, 1]


async def test_an_address_that_is_new_is_used_and_one_that_is_gone_is_not(start: Any, network: Network) -> None:
    names = Names(["10.0.0.1"])
    router = await start(names)
    names.ips = ["10.0.0.2"]
    await eventually(lambda: serving(router) == ["10.0.0.2:50051"])
    assert (await router.post(ASK))[0] == 200
    assert len(network.machines["10.0.0.2"].requests) == 1


async def test_a_worker_that_leaves_finishes_what_it_has_and_is_then_let_go_of(start: Any, network: Network) -> None:
    names = Names(["10.0.0.1"])
    router = await start(names)
    leaving = network.machines["10.0.0.1"]
    (worker,) = router.services.pool.workers
    leaving.script.hang_after = 0
    asked = asyncio.create_task(router.post(ASK))
    await eventually(lambda: leaving.running == 1)
    names.ips = ["10.0.0.2"]
    await eventually(lambda: serving(router) == ["10.0.0.2:50051"])
    assert (await router.post(ASK))[0] == 200
    assert len(leaving.requests) == 1
    assert router.services.pool.outstanding(worker) > 0
    leaving.go_on.set()
    assert (await asked)[0] == 200
    await eventually(lambda: worker._line.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)


async def test_a_name_that_cannot_be_looked_up_keeps_its_workers_and_is_told_of_once(start: Any) -> None:
    names = Names(["10.0.0.1", "10.0.0.2"])
    router = await start(names)
    await eventually(lambda: len(serving(router)) == 2)
    with capture_logs() as logs:
        names.failure = "Temporary failure in name resolution"
        for _ in range(3):
            await names.asked_again()
    (told,) = [line for line in logs if line["event"] == "name cannot be looked up"]
    assert (told["name"], told["reason"]) == ("workers.internal", names.failure)
    assert len(serving(router)) == 2
    assert (await router.post(ASK))[0] == 200


async def test_an_empty_answer_is_none(start: Any) -> None:
    names = Names(["10.0.0.1"])
    router = await start(names)
    names.ips = []
    await names.asked_again()
    assert serving(router) == ["10.0.0.1:50051"]


async def test_a_name_that_was_never_found_is_shown_with_the_reason_until_it_is(start: Any) -> None:
    names = Names(["10.0.0.1"], failure="Name or service not known")
    router = await start(names, wait=False)
    await names.asked_again()
    _, body = await router.get("/health")
    (shown,) = body["workers"]
    assert (shown["address"], shown["state"]) == (NAME, "unreachable")
    assert shown["reason"] == "workers.internal cannot be looked up: Name or service not known"
    assert (await router.post(ASK))[1]["error"]["code"] == "no_healthy_workers"
    names.failure = ""
    await eventually(lambda: serving(router) == ["10.0.0.1:50051"])
    assert (await router.post(ASK))[0] == 200


async def test_a_lookup_that_fails_as_none_should_is_told_and_tried_again(start: Any) -> None:
    names = Names(["10.0.0.1"], defect=UnicodeError("label empty or too long"))
    with capture_logs() as logs:
        router = await start(names, wait=False)
        await names.asked_again()
    assert "UnicodeError" in router.services.pool.workers[0].reason
    assert "name cannot be followed" in [line["event"] for line in logs]
    names.defect = None
    await eventually(lambda: serving(router) == ["10.0.0.1:50051"])


async def test_a_name_for_this_machine_is_one_worker(start: Any) -> None:
    router = await start(Names(["127.0.0.1", "::1"]), wait=False)
    await eventually(lambda: "cannot connect" in router.services.pool.workers[0].reason)
    assert [worker.address for worker in router.services.pool.workers] == [NAME]


async def test_numbers_are_those_of_the_addresses_and_stay_low_as_workers_come_and_go(start: Any) -> None:
    names = Names(["10.0.0.1", "10.0.0.2"])
    router = await start(names, NAME, "[fd00::3]:50051")

    def numbers() -> dict[str, int]:
        return {worker.address: worker.number for worker in router.services.pool.workers}

    await eventually(lambda: numbers() == {"10.0.0.1:50051": 0, "10.0.0.2:50051": 2, "[fd00::3]:50051": 1})
    for round_ in range(3, 40):
        names.ips = ["10.0.0.2", f"10.0.0.{round_}"]
        await eventually(lambda: f"10.0.0.{round_}:50051" in numbers())  # noqa: B023 - it is over before the next
        assert sorted(numbers().values()) == [0, 1, 2]
        assert numbers()["10.0.0.2:50051"] == 2


async def test_whoever_leaves_is_in_the_metrics_no_more(start: Any) -> None:
    names = Names(["10.0.0.1", "10.0.0.2"])
    router = await start(names)
    await eventually(lambda: len(serving(router)) == 2)
    names.ips = ["10.0.0.2"]
    await eventually(lambda: serving(router) == ["10.0.0.2:50051"])
    async with router.http.get(f"{router.url}/metrics") as response:
        text = await response.text()
    assert 'address="10.0.0.2:50051"' in text
    assert "10.0.0.1" not in text


async def test_behind_a_name_the_certificate_has_to_be_for_that_name(
    start_router: Any, make_worker: MakeWorker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    right = server_credentials(authority.issue("workers.internal"), None)
    wrong = server_credentials(authority.issue("10.0.0.2", "127.0.0.1"), None)
    async with (
        running(make_worker(), credentials=right) as first,
        running(make_worker(), credentials=wrong) as second,
    ):
        network = Network(
            credentials=client_credentials(authority.ca_file, None),
            security=Security.TLS,
            machines={"10.0.0.1": first, "10.0.0.2": second},
        )
        router = await start_router(
            NAME, dialer=network, resolve=Names(["10.0.0.1", "10.0.0.2"]), workers_ca_file=authority.ca_file
        )
        workers = router.services.pool.workers
        await eventually(lambda: "certificate is for another name" in workers[1].reason)
        assert serving(router) == ["10.0.0.1:50051"]
