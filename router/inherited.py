"""What the launcher gives a router that it starts: sockets that listen already, and paths to ask and be asked at.

The launcher keeps the sockets open too. So while a router is started again, or another takes over, connections wait in
the kernel's queue, and none is refused.
"""

import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from router.listening import CannotListenError
from textdiffusion.status import CONTROL, PROBE_SOCKETS, SOCKETS, STATUS

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Inherited:
    sockets: tuple[socket.socket, ...] = ()
    probe_sockets: tuple[socket.socket, ...] = ()
    control_path: str | None = None  # where the launcher asks
    status_path: str | None = None  # where it answers

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "Inherited":
        """Takes it out of there: it is not for what this process starts itself. Raises `CannotListenError`."""
        return cls(
            sockets=_sockets(SOCKETS, environment),
            probe_sockets=_sockets(PROBE_SOCKETS, environment),
            control_path=environment.pop(CONTROL, None) or None,
            status_path=environment.pop(STATUS, None) or None,
        )


NOTHING: Final = Inherited()


def _sockets(variable: str, environment: MutableMapping[str, str]) -> tuple[socket.socket, ...]:
    numbers = [number.strip() for number in environment.pop(variable, "").split(",")]
    if numbers == [""]:
        return ()
    if len(set(numbers)) < len(numbers):
        raise CannotListenError(f"{variable}={','.join(numbers)}: one of the numbers is there twice")
    return tuple(_socket(number, variable) for number in numbers)


def _socket(number: str, variable: str) -> socket.socket:
    try:
        return _listening(number)
    except (OSError, ValueError) as error:
        raise CannotListenError(
            f"{variable}: {number!r} is not the file descriptor of a TCP socket that listens; "
            f"give the numbers of those that the router inherits, as in {variable}=7,8"
        ) from error


def _listening(number: str) -> socket.socket:
    """Raises `OSError` for what is no socket, `ValueError` for one that is of no use."""
    if not (number.isascii() and number.isdigit()):
        raise ValueError(number)
    inherited = socket.socket(fileno=int(number))
    is_tcp = inherited.family in FAMILIES and inherited.type == socket.SOCK_STREAM
    if not (is_tcp and inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        inherited.detach()  # whatever it is, it is not ours to close
        raise ValueError(number)
    inherited.set_inheritable(False)
    return inherited
