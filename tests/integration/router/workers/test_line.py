"""How workers are reached: over TLS, in clear, or not, and what is said then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testing.certificates import Authority
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.tls import server_credentials

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}

MakeWorker = Callable[..., FakeWorker]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def own_certificate(authority: Authority) -> dict[str, Path]:
    identity = authority.issue("router.internal")
    return {"workers_cert_file": identity.cert_file, "workers_key_file": identity.key_file}


async def is_unreachable(router: Any, why: str) -> None:
    (worker,) = router.services.pool.workers
    await eventually(lambda: why in worker.reason)
    _, body = await router.get("/health")
    assert body["workers"][0]["state"] == "unreachable"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_worker_whose_certificate_is_for_its_address_serves(
    authority: Authority, make_worker: MakeWorker, start_router: Any, host: str
) -> None:
    credentials = server_credentials(authority.issue(host.strip("[]")), None)
    async with running(make_worker(), f"{host}:0", credentials=credentials) as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file)
        assert (await router.post(ASK))[0] == 200


async def test_a_worker_that_asks_for_a_certificate_serves_the_router_that_has_one(
    authority: Authority, make_worker: MakeWorker, start_router: Any, own_certificate: dict[str, Path]
) -> None:
    credentials = server_credentials(authority.issue("127.0.0.1"), authority.ca_file)
    async with running(make_worker(), credentials=credentials) as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file, **own_certificate)
        assert (await router.post(ASK))[0] == 200
        without = await start_router(worker.address, workers_ca_file=authority.ca_file, wait=False)
        await is_unreachable(without, "workers_cert_file and workers_key_file have to be set")


async def test_a_certificate_of_another_authority_is_of_no_use_to_the_router(
    authority: Authority, make_worker: MakeWorker, start_router: Any, own_certificate: dict[str, Path], tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    credentials = server_credentials(authority.issue("127.0.0.1"), other.ca_file)
    async with running(make_worker(), credentials=credentials) as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file, wait=False, **own_certificate)
        await is_unreachable(router, "it may not accept the certificate in workers_cert_file")


async def test_a_worker_that_another_authority_vouches_for_is_not_trusted(
    authority: Authority, make_worker: MakeWorker, start_router: Any, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    async with running(make_worker(), credentials=server_credentials(other.issue("127.0.0.1"), None)) as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file, wait=False)
        await is_unreachable(router, "workers_ca_file does not vouch for its certificate")
        assert (await router.post(ASK))[0] == 503


async def test_a_certificate_for_another_name_is_taken_only_if_that_name_is_expected(
    authority: Authority, make_worker: MakeWorker, start_router: Any
) -> None:
    credentials = server_credentials(authority.issue("gpu.internal"), None)
    async with running(make_worker(), credentials=credentials) as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file, wait=False)
        await is_unreachable(router, "workers_server_name")
        told = await start_router(worker.address, workers_ca_file=authority.ca_file, workers_server_name="gpu.internal")
        assert (await told.post(ASK))[0] == 200


async def test_a_router_without_tls_is_told_that_the_worker_may_want_it(
    authority: Authority, make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker(), credentials=server_credentials(authority.issue("127.0.0.1"), None)) as worker:
        router = await start_router(worker.address, wait=False)
        await is_unreachable(router, "if it speaks TLS, workers_ca_file has to be set")


async def test_a_worker_without_tls_is_not_spoken_to_by_a_router_that_wants_it(
    authority: Authority, make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker()) as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file, wait=False)
        await is_unreachable(router, "it does not speak TLS, which workers_ca_file asks for")


async def test_unix_sockets_need_no_tls(
    authority: Authority, make_worker: MakeWorker, start_router: Any, tmp_path: Path
) -> None:
    async with running(make_worker(), f"unix:{tmp_path}/worker.sock") as worker:
        router = await start_router(worker.address, workers_ca_file=authority.ca_file)
        assert (await router.post(ASK))[0] == 200


@pytest.mark.parametrize(
    ("address", "why"), [("127.0.0.1:1", "Connection refused"), ("unix:/nowhere/w.sock", "No such file or directory")]
)
async def test_where_nobody_listens_it_is_said_why(start_router: Any, address: str, why: str) -> None:
    await is_unreachable(await start_router(address, wait=False), f"cannot connect: {why}")
