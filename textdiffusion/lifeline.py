"""Ends a process when the launcher that started it is gone, kill -9 included.

The launcher holds the other end of its children's standard input and never writes to it. The kernel closes it when the
launcher dies, however it dies, and the read below returns. Without this a killed launcher would leave workers behind
that hold the GPU's memory and the router's port.
"""

import os
import signal
import threading
import time

LIFELINE = "TDI_LIFELINE"
STDIN = 0


def follow_parent(grace_seconds: float = 5) -> None:
    """Watches standard input, if the launcher asked for it; at its end this process gets SIGTERM, then no choice."""
    # Taken out of the environment: standard input is no lifeline to what this process starts itself.
    if os.environ.pop(LIFELINE, None) == "1":
        threading.Thread(target=_follow, args=(grace_seconds,), name="lifeline", daemon=True).start()


def _follow(grace_seconds: float) -> None:
    # Not sys.stdin: its lock, held by a thread that reads, is fatal to an interpreter that shuts down.
    while os.read(STDIN, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(1)
