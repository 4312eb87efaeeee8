"""The sockets that the router is reached on.

They belong to the launcher, which outlives every router: a router that dies or makes room for the next one leaves them
open, and whoever connects in between waits in the kernel's queue instead of being refused. That they can be had is
found out before the workers load their models.
"""

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self

from textdiffusion.addresses import BACKLOG, TcpAddress
from textdiffusion.configuration import ConfigurationError
from textdiffusion.router_settings import RouterSettings

NOT_HERE: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@dataclass(frozen=True, slots=True)
class Door:
    """One port, at every address that a host's name stands for."""

    host: str
    wanted: int  # 0 for any that is free
    port: int
    sockets: tuple[socket.socket, ...]

    @classmethod
    def at(cls, host: str, port: int, setting: str) -> Self:
        """Takes the port, but no connections yet. Raises `ConfigurationError`, which names the setting."""
        found, sockets = _bound(host, port, setting)
        return cls(host, port, found, sockets)


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the router is reached, by requests and by probes."""

    main: Door
    probes: Door | None

    @classmethod
    def of(cls, router: RouterSettings, known: "Doors | None" = None) -> Self:
        """The doors that the settings ask for; a `known` one is used again. Raises `ConfigurationError`."""
        _refuse_exchange(router, known)
        main = _same(known.main if known else None, router.host, router.port)
        probes = _same(known.probes if known else None, router.host, router.probe_port)
        opened = main or Door.at(router.host, router.port, "port")
        if router.probe_port is None or probes:
            return cls(opened, probes)
        try:
            return cls(opened, Door.at(router.host, router.probe_port, "probe_port"))
        except ConfigurationError:
            if not main:
                _close(opened.sockets)
            raise

    @property
    def url(self) -> str:
        return url_of(self.main.host, self.main.port)

    @property
    def all(self) -> Sequence[Door]:
        return [self.main, self.probes] if self.probes else [self.main]

    def open(self) -> None:
        """From now on whoever connects waits to be served. Raises `OSError` if another program was faster."""
        for door in self.all:
            for each in door.sockets:
                each.listen(BACKLOG)

    def close(self, but: "Doors | None" = None) -> None:
        """Gives up the ports, except for those that are among the doors of another."""
        for door in self.all:
            if not but or door not in but.all:
                _close(door.sockets)


def url_of(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`."""
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004
    return f"http://{TcpAddress(host, port)}"


def _refuse_exchange(router: RouterSettings, known: Doors | None) -> None:
    """A port cannot be taken for one address while it is held for another, or for another purpose."""
    for setting, port in (("port", router.port), ("probe_port", router.probe_port)):
        same = known and (known.main if setting == "port" else known.probes)
        for door in known.all if known else ():
            if port and door.port == port and not (door is same and door.host == router.host):
                raise ConfigurationError(
                    [f"router.{setting}: this launcher has {port} on {door.host}; to use it otherwise, start it anew"]
                )


def _same(door: Door | None, host: str, port: int | None) -> Door | None:
    return door if door and (door.host, door.wanted) == (host, port) else None


def _bound(host: str, port: int, setting: str) -> tuple[int, tuple[socket.socket, ...]]:
    """The port, and a socket for each address that the name stands for; port 0 becomes one that is free."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a machine"
        raise ConfigurationError([f"router.host: {host} cannot be resolved: {reason}"]) from error
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in found:
            bound = _bind(family, str(address[0]), port, setting)
            if bound:
                sockets.append(bound)
                port = int(bound.getsockname()[1])
    except ConfigurationError:
        _close(sockets)
        raise
    if not sockets:
        raise ConfigurationError([f"router.host: {host} is no address of this machine"])
    return port, tuple(sockets)


def _bind(family: int, address: str, port: int, setting: str) -> socket.socket | None:
    """None if this machine does not have the address; a name may stand for some that it lacks."""
    bound = None
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((address, port))
    except OSError as error:
        if bound:
            bound.close()
        if error.errno in NOT_HERE:
            return None
        raise ConfigurationError([_problem(address, port, setting, error)]) from error
    return bound


def _problem(address: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"router.{setting}: {port} is in use on {address} already; choose another, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"router.{setting}: this user may not listen on {port}; choose one above 1023"
    return f"router.host: cannot listen on {address}: {error.strerror}"


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()
