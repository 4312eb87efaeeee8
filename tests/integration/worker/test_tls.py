"""A worker that listens with certificates; it need not load its model to be asked for its health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from testing.certificates import Authority
from textdiffusion.settings import WorkerSettings
from textdiffusion.tls import Identity, client_credentials
from worker.health import NOT_SERVING
from worker.server import Worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "workers")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    """Whom the worker does not know."""
    return Authority(folder / "strangers")


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.issue("127.0.0.1")


@asynccontextmanager
async def listening(identity: Identity, client_ca_file: Path | None = None) -> AsyncIterator[str]:
    worker = Worker(
        WorkerSettings(
            model="nowhere",
            listen="127.0.0.1:0",
            tls_cert_file=identity.cert_file,
            tls_key_file=identity.key_file,
            tls_client_ca_file=client_ca_file,
        )
    )
    yield await worker.start()
    await worker.drain()


async def health(address: str, credentials: grpc.ChannelCredentials | None) -> int:
    channel = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        return int(answer.status)


async def is_refused(address: str, credentials: grpc.ChannelCredentials | None) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health(address, credentials)
    return refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_who_trusts_the_certificate_is_answered(authority: Authority, identity: Identity) -> None:
    async with listening(identity) as address:
        assert await health(address, client_credentials(authority.ca_file, None)) == NOT_SERVING


async def test_who_trusts_another_authority_or_speaks_plain_text_is_not(
    identity: Identity, stranger: Authority
) -> None:
    async with listening(identity) as address:
        assert await is_refused(address, client_credentials(stranger.ca_file, None))
        assert await is_refused(address, None)


async def test_a_client_has_to_show_a_certificate_where_that_is_asked_for(
    authority: Authority, identity: Identity, stranger: Authority, folder: Path
) -> None:
    clients = Authority(folder / "clients")
    async with listening(identity, clients.ca_file) as address:
        known = client_credentials(authority.ca_file, clients.issue("router"))
        assert await health(address, known) == NOT_SERVING
        for unknown in (stranger.issue("router"), None):
            assert await is_refused(address, client_credentials(authority.ca_file, unknown))
