"""SIGINT and SIGTERM: the first one asks, a second one forces."""

import asyncio
import signal

# A signal to a whole process group arrives twice here: from the sender, and from `just` or `uv run`, which pass it on.
ECHO_SECONDS = 0.3


class StopSignals:
    """What the signals so far say: `asked` to finish the work and stop, or `forced` to stop now."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        self._first_at = 0.0

    @classmethod
    def installed(cls) -> "StopSignals":
        """Takes the signals over for good: a late one, when the event loop is closed already, changes nothing."""
        signals = cls()
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
        elif now - self._first_at > ECHO_SECONDS:
            self.forced.set()
