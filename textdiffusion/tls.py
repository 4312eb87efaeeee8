"""The files by which two processes know each other over TLS: a certificate, its private key, and an authority's.

They are looked through before anything uses them: gRPC itself says nothing of a file that it cannot use until the first
connection fails, and then not which. What is in a private key is shown nowhere.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import grpc


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, with those that lead to its authority behind it, and its private key; PEM files."""

    cert_file: Path
    key_file: Path


def check_authority(file: Path) -> None:
    """Raises `ValueError` if it is not a PEM file of certificates."""
    _read(file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{file}: has no certificates in PEM format") from error


def check_identity(identity: Identity) -> None:
    """Raises `ValueError` if one of the files is not what it should be, or they do not belong together."""
    check_authority(identity.cert_file)
    _read(identity.key_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(identity.cert_file, identity.key_file, password=_refuse_encrypted)
    except _EncryptedKeyError as error:
        raise ValueError(f"{identity.key_file}: is encrypted; nobody is there to type its password") from error
    except (ssl.SSLError, OSError) as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{identity.key_file}: is not the key of {identity.cert_file}") from error
        raise ValueError(f"{identity.key_file}: has no private key in PEM format") from error


def client_credentials(ca_file: Path, identity: Identity | None) -> grpc.ChannelCredentials:
    """For talking to servers whose certificates the authority signed. Raises `ValueError`."""
    if identity is None:
        return grpc.ssl_channel_credentials(_read(ca_file))
    return grpc.ssl_channel_credentials(_read(ca_file), _read(identity.key_file), _read(identity.cert_file))


def server_credentials(identity: Identity, client_ca_file: Path | None) -> grpc.ServerCredentials:
    """With a `client_ca_file`, only clients whose certificate that authority signed are served. Raises `ValueError`."""
    pair = _read(identity.key_file), _read(identity.cert_file)
    if client_ca_file is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], _read(client_ca_file), require_client_auth=True)


class _EncryptedKeyError(Exception):
    pass


def _refuse_encrypted() -> NoReturn:
    raise _EncryptedKeyError


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ValueError(f"{file}: cannot be read: {reason}") from error
