"""A worker that listens with certificates; it need not load its model to be asked for its health."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from textdiffusion.settings import WorkerSettings
from worker.health import NOT_SERVING
from worker.server import Worker
from worker.tls import TlsError, server_credentials

Write = Callable[[str, bytes], Path]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", "localhost")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.fixture
def pair(certificate: trustme.LeafCert, write: Write) -> dict[str, Path]:
    """The settings of a worker that shows a certificate."""
    chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
    return {
        "tls_cert_file": write("cert.pem", chain),
        "tls_key_file": write("key.pem", certificate.private_key_pem.bytes()),
    }


def settings(**of_tls: Any) -> WorkerSettings:
    return WorkerSettings(model="nowhere", **{"listen": "127.0.0.1:0", **of_tls})


@asynccontextmanager
async def listening(settings: WorkerSettings) -> AsyncIterator[str]:
    worker = Worker(settings)
    yield await worker.start()
    await worker.drain()


async def health(address: str, credentials: grpc.ChannelCredentials | None) -> int:
    channel = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        return int(answer.status)


async def test_who_trusts_the_certificate_is_answered(authority: trustme.CA, pair: dict[str, Path]) -> None:
    async with listening(settings(**pair)) as address:
        credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        assert await health(address, credentials) == NOT_SERVING


@pytest.mark.parametrize("trusts", ["another authority", "nothing"])
async def test_who_does_not_trust_it_or_speaks_plain_text_is_not(pair: dict[str, Path], trusts: str) -> None:
    other = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    async with listening(settings(**pair)) as address:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health(address, other if trusts == "another authority" else None)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("shows", ["one that is known", "one that another signed", "none"])
async def test_a_client_has_to_show_a_certificate_where_that_is_asked_for(
    authority: trustme.CA, pair: dict[str, Path], write: Write, shows: str
) -> None:
    clients = trustme.CA()
    signed_by = clients if shows == "one that is known" else trustme.CA()
    own = signed_by.issue_cert("router")
    credentials = grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        *(() if shows == "none" else (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())),
    )
    guarded = settings(**pair, tls_client_ca_file=write("clients.pem", clients.cert_pem.bytes()))
    async with listening(guarded) as address:
        if shows == "one that is known":
            assert await health(address, credentials) == NOT_SERVING
        else:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health(address, credentials)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file", "tls_client_ca_file"])
@pytest.mark.parametrize("wrong", ["missing", "a folder", "no PEM", "empty"])
def test_a_file_that_cannot_be_used_is_named(pair: dict[str, Path], write: Write, name: str, wrong: str) -> None:
    files = {
        "missing": Path("nowhere.pem"),
        "a folder": Path("/"),
        "no PEM": write("noise.pem", b"\x00 noise"),
        "empty": write("empty.pem", b""),
    }
    with pytest.raises(TlsError, match=f"^{name}: {files[wrong]} "):
        server_credentials(settings(**{**pair, name: files[wrong]}))


def test_a_key_of_another_certificate_is_told(authority: trustme.CA, pair: dict[str, Path], write: Write) -> None:
    other = write("other.pem", authority.issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(TlsError, match=r"^tls_key_file: .*other.pem is not the key of the certificate in .*cert.pem"):
        server_credentials(settings(**{**pair, "tls_key_file": other}))


def test_a_key_with_a_password_is_refused_and_asks_nobody(
    certificate: trustme.LeafCert, pair: dict[str, Path], write: Write
) -> None:
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - trustme brings it

    key = form.load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
    with pytest.raises(TlsError, match="without a password"):
        server_credentials(settings(**{**pair, "tls_key_file": write("locked.pem", locked)}))
