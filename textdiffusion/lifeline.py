"""Ends a process when the launcher that started it is gone, kill -9 included, and hears what the launcher says before.

The launcher holds the other end of its children's standard input. What it writes there, line by line, changes settings
of a process that runs. The kernel closes it when the launcher dies, however it dies, and the read below returns.
Without this a killed launcher would leave workers behind that hold the GPU's memory and the router's port.

A process that is stopped, busy in native code or still importing does not notice. On Linux the launcher has the kernel
end such ones (`launcher/parent_death.py`); on other systems this is all there is.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

LIFELINE = "TDI_LIFELINE"
STDIN = 0
PIECE_BYTES = 65536

_followed = False


def follow_parent(on_line: Callable[[bytes], object] = lambda _: None, grace_seconds: float = 5) -> None:
    """Watches standard input, if the launcher asked for it; at its end this process gets SIGTERM, then no choice.

    `on_line` is called with each line, on a thread of its own, and must not raise.
    """
    # Taken out of the environment: standard input is no lifeline to what this process starts itself.
    global _followed  # noqa: PLW0603 - a process has one standard input
    if os.environ.pop(LIFELINE, None) == "1":
        _followed = True
        threading.Thread(target=_follow, args=(on_line, grace_seconds), name="lifeline", daemon=True).start()


def environment_to_become() -> dict[str, str]:
    """Return the environment for a program that this process becomes, whose standard input stays its lifeline."""
    return {**os.environ, LIFELINE: "1"} if _followed else dict(os.environ)


def _follow(on_line: Callable[[bytes], object], grace_seconds: float) -> None:
    for line in _lines():
        on_line(line)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(1)


def _lines() -> Iterator[bytes]:
    """Whole lines, however they come; what the launcher could not finish is none."""
    begun = b""
    # Not sys.stdin: its lock, held by a thread that reads, is fatal to an interpreter that shuts down.
    while piece := os.read(STDIN, PIECE_BYTES):
        *lines, begun = (begun + piece).split(b"\n")
        yield from lines
