"""Ctrl-C: the first one ends what is under way, a second one the program."""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from client.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

T = TypeVar("T")

ECHO_SECONDS: Final = 0.1  # in which a signal is the same one again, passed on; nobody presses so fast
SHOW_CURSOR: Final = "\x1b[?25h"


def leave_at_once() -> None:
    """Ends the process, whatever it is waiting for."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())
    os._exit(EXIT_INTERRUPTED)


class Interrupts:
    """How often Ctrl-C was pressed since it was last forgotten, and what it does.

    While something is under way in `run`, the first one cancels it and a second one leaves at once, without waiting for
    whatever holds up the cancellation. Otherwise `KeyboardInterrupt` is raised, as ever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, leave: Callable[[], None] = leave_at_once) -> None:
        """`leave` ends the process; `clock` counts in seconds."""
        self.pressed = 0
        self._pressed_at = -math.inf
        self._clock = clock
        self._leave = leave
        self._cancel: Callable[[], object] | None = None

    @classmethod
    def installed(cls) -> "Interrupts":
        """Takes the signal over for good, and SIGTERM, which must not leave a terminal without its cursor."""
        interrupts = cls()
        signal.signal(signal.SIGINT, lambda *_: interrupts.received())
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
        return interrupts

    def forget(self) -> None:
        """The next one is a first one again, and heard however soon it comes."""
        self.pressed = 0
        self._pressed_at = -math.inf

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Raises `KeyboardInterrupt` once `work` has been cancelled by Ctrl-C and has let go of what it held."""
        try:
            return asyncio.run(self._cancellable(work))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            self._cancel = None

    def received(self) -> None:
        """A signal; what passes one on besides the terminal, as `uv run` does, is not heard."""
        now = self._clock()
        if now - self._pressed_at < ECHO_SECONDS:
            return
        self._pressed_at = now
        self.pressed += 1
        if not self._cancel:
            raise KeyboardInterrupt
        if self.pressed > 1:
            self._leave()
        self._cancel()

    async def _cancellable(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work())

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop is closed: it is over
                loop.call_soon_threadsafe(task.cancel)

        self._cancel = cancel
        return await task
