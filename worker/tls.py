"""The certificates that guard the worker's port, looked through before anything is loaded."""

import ssl
from pathlib import Path

import grpc

from textdiffusion.settings import WorkerSettings


class TlsError(Exception):
    """A certificate or a key cannot be used; says which, and why."""


def server_credentials(settings: WorkerSettings) -> grpc.ServerCredentials | None:
    """What to guard the port with; nothing if it listens in plain text. Raises `TlsError`."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    certificate = _certificates("tls_cert_file", settings.tls_cert_file)
    key = _content("tls_key_file", settings.tls_key_file)
    _check_pair(settings.tls_cert_file, settings.tls_key_file)
    authority = settings.tls_client_ca_file
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=_certificates("tls_client_ca_file", authority) if authority else None,
        require_client_auth=authority is not None,
    )


def _content(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TlsError(f"{name}: {file} cannot be read: {error.strerror}") from error


def _certificates(name: str, file: Path) -> bytes:
    content = _content(name, file)
    try:
        _context().load_verify_locations(file)
    except ssl.SSLError as error:
        raise TlsError(f"{name}: {file} holds no certificate in PEM format") from error
    return content


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        # A key that asks for a password gets an empty one; nobody sits here to type it.
        _context().load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"tls_key_file: {key} is not the key of the certificate in {certificate}") from error
        raise TlsError(f"tls_key_file: {key} holds no private key in PEM format without a password") from error


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
