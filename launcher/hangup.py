"""SIGHUP: read the configuration again; or, where it is the terminal that has gone, stop.

A terminal that is closed sends the same signal as `kill -HUP`, and whoever closes it does not mean to leave a server
behind; unless it was started with `nohup`, which says so by having the signal ignored.
"""

import asyncio
import os
import signal
from collections.abc import Callable


def on_hangup(read_again: Callable[[], object], stop: Callable[[], object]) -> None:
    """Has one of the two called by the event loop when the signal comes."""
    loop = asyncio.get_running_loop()
    holds_a_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def handle(*_: object) -> None:
        if not loop.is_closed():
            gone = holds_a_terminal and not _has_terminal()
            loop.call_soon_threadsafe(stop if gone else read_again)

    signal.signal(signal.SIGHUP, handle)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
