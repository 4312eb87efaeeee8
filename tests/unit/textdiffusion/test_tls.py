from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from testing.certificates import Authority
from textdiffusion.tls import Identity, check_authority, check_identity, client_credentials, server_credentials


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.issue("worker.example.org")


@pytest.fixture
def garbage(tmp_path: Path) -> Path:
    file = tmp_path / "garbage.pem"
    file.write_bytes(b"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n\xff")
    return file


def test_files_that_fit_make_credentials(authority: Authority, identity: Identity) -> None:
    check_authority(authority.ca_file)
    check_identity(identity)
    assert client_credentials(authority.ca_file, None)
    assert client_credentials(authority.ca_file, identity)
    assert server_credentials(identity, None)
    assert server_credentials(identity, authority.ca_file)


@pytest.mark.parametrize("reason", ["No such file or directory", "Is a directory"])
def test_a_file_that_cannot_be_read_is_named_and_why(identity: Identity, tmp_path: Path, reason: str) -> None:
    file = tmp_path if reason == "Is a directory" else tmp_path / "missing.pem"
    for check in (
        lambda: check_authority(file),
        lambda: check_identity(Identity(file, identity.key_file)),
        lambda: check_identity(Identity(identity.cert_file, file)),
        lambda: client_credentials(file, None),
    ):
        with pytest.raises(ValueError, match=f"{file}: cannot be read: {reason}"):
            check()


def test_an_authority_without_certificates_is_refused(identity: Identity, garbage: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for file in (garbage, empty, identity.key_file):
        with pytest.raises(ValueError, match=f"{file}: has no certificates"):
            check_authority(file)


def test_garbage_in_the_place_of_a_key_is_refused_and_not_shown(identity: Identity, garbage: Path) -> None:
    for file in (garbage, identity.cert_file):
        with pytest.raises(ValueError, match=f"{file}: has no private key") as refused:
            check_identity(Identity(identity.cert_file, file))
        assert "SECRET" not in str(refused.value)


def test_the_key_of_another_certificate_is_refused(authority: Authority, identity: Identity) -> None:
    other = authority.issue("other.example.org")
    with pytest.raises(ValueError, match=f"{other.key_file}: is not the key of {identity.cert_file}"):
        check_identity(Identity(identity.cert_file, other.key_file))


def test_nobody_is_asked_for_the_password_of_a_key(identity: Identity, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(identity.key_file.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(ValueError, match=f"{encrypted}: is encrypted"):
        check_identity(Identity(identity.cert_file, encrypted))
