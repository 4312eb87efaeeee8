"""Is the router's port free? Better found out before the workers load their models than after."""

import contextlib
import errno
import socket
from ipaddress import ip_address

from textdiffusion.configuration import ConfigurationError

NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def free_port(host: str, port: int) -> int:
    """The port that the router can listen on at `host`; 0 becomes one that is free. Raises `ConfigurationError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError([f"router.host: {host} cannot be resolved: {error.strerror}"]) from error
    bound = False
    for family, _, _, _, address in found:
        free = _bind(family, str(address[0]), port)
        bound, port = bound or free is not None, free or port
    if not bound:
        raise ConfigurationError([f"router.host: {host} is no address of this machine"])
    return port


def url_of(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`."""
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(family: int, address: str, port: int) -> int | None:
    """The port, or None if this machine does not have the address; a name may stand for some that it lacks."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno in NOT_HERE:
            return None
        raise ConfigurationError([_problem(address, port, error)]) from error


def _problem(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"router.port: {port} is in use on {address} already; choose another, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"router.port: this user may not listen on {port}; choose one above 1023"
    return f"router.host: cannot listen on {address}: {error.strerror}"
