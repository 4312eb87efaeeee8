"""How the router reaches a worker: in clear on this machine or in a trusted network, else over TLS."""

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

import grpc

from textdiffusion.addresses import TcpAddress, WorkerAddress
from textdiffusion.router_settings import RouterSettings
from textdiffusion.rpc import CHANNEL_OPTIONS
from textdiffusion.tls import client_credentials

NEVER_CONNECTED: Final = "failed to connect to all addresses; last error: "  # gRPC's words, before an error of its own


class Security(Enum):
    NONE = "none"
    TLS = "TLS"
    MUTUAL_TLS = "mutual TLS"


WHY_CLOSED: Final = MappingProxyType(
    {
        Security.NONE: "if it speaks TLS, workers_ca_file has to be set",
        Security.TLS: "if it asks for a certificate, workers_cert_file and workers_key_file have to be set",
        Security.MUTUAL_TLS: "it may not accept the certificate in workers_cert_file",
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """To one worker."""

    address: str
    channel: grpc.aio.Channel
    security: Security

    def explain(self, error: grpc.aio.AioRpcError) -> str:
        """What stands in the way, in words that say what to do about it."""
        details = error.details() or ""
        if not details.startswith(NEVER_CONNECTED):
            return f"{error.code().name}: {details}"
        return _explained(details.removeprefix(NEVER_CONNECTED), self.security)


@dataclass(frozen=True, slots=True)
class Dialer:
    """With `credentials`, workers on TCP are spoken to over TLS; their certificates have to be for `server_name`."""

    credentials: grpc.ChannelCredentials | None = None
    server_name: str | None = None
    security: Security = Security.NONE

    @classmethod
    def from_settings(cls, settings: RouterSettings) -> "Dialer":
        if settings.workers_ca_file is None:
            return cls()
        return cls(
            client_credentials(settings.workers_ca_file, settings.workers_identity),
            settings.workers_server_name,
            Security.MUTUAL_TLS if settings.workers_identity else Security.TLS,
        )

    def dial(self, address: WorkerAddress, name: str) -> Line:
        """A line to `address`, where `name` was found; it connects when it is first used."""
        target = str(address)
        if self.credentials is None or not isinstance(address, TcpAddress):
            return Line(target, grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS), Security.NONE)
        options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", self.server_name or name)]
        return Line(target, grpc.aio.secure_channel(target, self.credentials, options=options), self.security)


def _explained(error: str, security: Security) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return "workers_ca_file does not vouch for its certificate, or does so no longer"
    if "Hostname Verification" in error:
        return (
            "its certificate is for another name; if that is as it should be, workers_server_name has to be that name"
        )
    if "WRONG_VERSION_NUMBER" in error:
        return "it does not speak TLS, which workers_ca_file asks for"
    if "Socket closed" in error or "Connection reset" in error:
        return f"it closes the connection; {WHY_CLOSED[security]}"
    return f"cannot connect: {error.rpartition(': ')[2]}"
