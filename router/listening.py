"""Accepts connections: at an address of its own, or on sockets that somebody else has opened and keeps open too."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import socket

from aiohttp import web

from textdiffusion.addresses import BACKLOG, TcpAddress


class CannotListenError(Exception):
    """The address cannot be listened on; says why in a sentence."""


async def listen(runner: web.BaseRunner, host: str, port: int, sockets: Sequence[socket] = ()) -> TcpAddress:
    """Accepts on `sockets` or, if there are none, at `host` and `port`, and returns the address. Raises `OSError`."""
    for each in sockets:
        await web.SockSite(runner, each, backlog=BACKLOG).start()
    if not sockets:
        await web.TCPSite(runner, host, port).start()
    found_host, found_port, *_ = runner.addresses[0]
    return TcpAddress(found_host, found_port)


@contextmanager
def told(place: str) -> Iterator[None]:
    """Turns an `OSError` into a `CannotListenError` that says where it was."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise CannotListenError(f"cannot listen on {place}: {reason}") from error
