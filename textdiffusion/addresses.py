"""Where a process listens: at a unix socket, or at a host and a port.

The host may be a DNS name, behind which there are several machines, or others tomorrow; whoever connects looks it up.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

UNIX: Final = "unix:"
HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]/\s]+):(?P<port>\d{1,5})", re.ASCII)
HIGHEST_PORT: Final = 65535
UNCONNECTABLE: Final = frozenset(",?#%")  # to gRPC, addresses are URIs, and a comma stands between two of them
# Connections that may wait to be accepted, set anew by each process that listens on the same socket. The kernel's own
# limit, `net.core.somaxconn`, is seldom higher.
BACKLOG: Final = 4096


@dataclass(frozen=True, slots=True)
class TcpAddress:
    host: str  # an IPv6 address stands here without its brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_name(self) -> bool:
        """Whether it has to be looked up."""
        return not _is_ip(self.host)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    path: str

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


WorkerAddress = TcpAddress | UnixAddress


def parse_address(text: str, *, lowest_port: int = 1) -> WorkerAddress:
    """Port 0, a free one, is for who listens. Raises `ValueError` with a sentence that says what is wrong."""
    if text.startswith(UNIX) and text != UNIX:
        return _unix_address(text.removeprefix(UNIX))
    found = HOST_AND_PORT.fullmatch(text)
    if not found:
        hint = "; an IPv6 address stands in brackets, and its port behind them: [::1]:50051"
        raise ValueError(f"{text} is neither unix:PATH nor HOST:PORT{hint if text.count(':') > 1 else ''}")
    host, port = found["host"].strip("[]"), int(found["port"])
    if found["host"].startswith("[") and not _is_ip(host):
        raise ValueError(f"{text}: only an IPv6 address stands in brackets")
    if not lowest_port <= port <= HIGHEST_PORT:
        raise ValueError(f"{text}: a port is a number from {lowest_port} to {HIGHEST_PORT}")
    return TcpAddress(host, port)


def parse_host(text: str) -> str:
    """Return a host whose port is a setting of its own. Raises `ValueError` with a sentence that says what is wrong."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare != text and _is_ip(bare):
        raise ValueError(f"{text}: an address stands here without brackets: {bare}")
    if "://" in text:
        raise ValueError(f"{text}: is a URL; a host stands here by itself, and its port in a setting of its own")
    if HOST_AND_PORT.fullmatch(text) and not _is_ip(text):
        raise ValueError(f"{text}: a host stands here by itself, and its port in a setting of its own")
    return text


def can_be_connected_to(path: str) -> bool:
    """Return whether gRPC finds a unix socket at this path."""
    return UNCONNECTABLE.isdisjoint(path)


def is_local(address: WorkerAddress) -> bool:
    """Whether only this machine reaches what listens there."""
    return isinstance(address, UnixAddress) or is_loopback(address.host)


def is_loopback(host: str) -> bool:
    """Whether it is this machine, as only this machine calls it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _unix_address(path: str) -> UnixAddress:
    if not can_be_connected_to(path):
        raise ValueError(f"{UNIX}{path}: a socket's path cannot have any of {' '.join(sorted(UNCONNECTABLE))} in it")
    return UnixAddress(path)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
