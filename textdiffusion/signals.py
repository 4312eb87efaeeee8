"""SIGINT and SIGTERM: the first one asks, a second one forces."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

# A signal to a whole process group arrives twice here: from the sender, and from `just` or `uv run`, which pass it on.
ECHO_SECONDS: Final = 0.3

# Of a worker or a router that a second signal has ended before its requests were done.
EXIT_FORCED: Final = 2


class StopSignals:
    """What the signals so far say: `asked` to finish the work and stop, or `forced` to stop now.

    `on_forced` is called once, by the event loop, when they begin to say the latter.
    """

    def __init__(self, on_forced: Callable[[], object] = lambda: None) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        self._on_forced = on_forced
        self._first_at = 0.0

    @classmethod
    def installed(cls, on_forced: Callable[[], object] = lambda: None) -> "StopSignals":
        """Takes the signals over for good: a late one, when the event loop is closed already, changes nothing."""
        signals = cls(on_forced)
        loop = asyncio.get_running_loop()

        def handle(*_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(signals.received, loop.time())

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
        return signals

    def received(self, now: float) -> None:
        if not self.asked.is_set():
            self._first_at = now
            self.asked.set()
        elif now - self._first_at > ECHO_SECONDS and not self.forced.is_set():
            self.forced.set()
            self._on_forced()
