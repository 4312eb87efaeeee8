"""What is behind a DNS name, now."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from textdiffusion.addresses import TcpAddress, is_loopback

Resolve = Callable[[str], Awaitable[Sequence[str]]]  # from a name to IP addresses; raises OSError


async def resolve(name: str) -> list[str]:
    """The IP addresses of `name`, all IPv4 or all IPv6. Raises `OSError`.

    A machine that has an address of each kind is one worker. The kind is that of the first answer, where the system
    puts what it can reach and prefers (RFC 6724).
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except UnicodeError as error:
        raise OSError("a part of it is empty or too long") from error
    return [str(address[0]) for family, *_, address in found if family == found[0][0]]


def workers_behind(address: TcpAddress, ips: Sequence[str]) -> list[TcpAddress]:
    """Where the workers are, each once, if the host of `address` stands for `ips`.

    A name for this machine stands for one process, though there may be two ways to it, 127.0.0.1 and ::1. It stays as
    it is: gRPC finds out which of the two is open.
    """
    if all(map(is_loopback, ips)):
        return [address]
    return [TcpAddress(ip, address.port) for ip in sorted(set(ips))]
