"""Keeps requests away from a worker that fails them, and finds out with one request at a time whether it still does.

The health watch sees a worker that is gone. It does not see one that answers and yet fails whatever it is given: such
a worker has the least to do of all, and would draw every request to itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

Clock = Callable[[], float]

FAILURES_TO_OPEN: Final = 5  # one after the other
OPEN_SECONDS: Final = 10.0


class Call:
    """A call that was let through; unless its outcome is told, it says nothing about the worker."""

    def __init__(self, answered: Callable[[], None]) -> None:
        self.answered = answered  # to be called when some of the reply is there: a trial need not last any longer
        self.outcome: Literal["success", "failure"] | None = None

    def succeeded(self) -> None:
        self.outcome = "success"

    def failed(self) -> None:
        self.outcome = "failure"


class Breaker:
    """Closed while all is well; open after failures; after a while it lets one call through to see.

    Every opening and closing begins a new era. A call tells nothing of any era but the one that it began in: what
    fails late because the worker was lost says nothing against the one that has come in its place.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._era = 0
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    @property
    def takes_calls(self) -> bool:
        return self.seconds_to_wait == 0

    @property
    def seconds_to_wait(self) -> float:
        """Until it lets a call through; while one is on trial, as if that failed now."""
        if self._opened_at is None:
            return 0
        if self._probing:
            return OPEN_SECONDS
        return max(0, self._opened_at + OPEN_SECONDS - self._clock())

    @contextmanager
    def call(self) -> Iterator[Call]:
        """Lets one call through; only while it `takes_calls`."""
        era, self._probing = self._era, self.is_open
        call = Call(lambda: self._close(era))
        try:
            yield call
        finally:
            if era == self._era:
                self._learn(call)

    def reset(self) -> None:
        """Closes it; for whoever knows that the worker has begun anew."""
        self._begin_era(opened_at=None)

    def _close(self, era: int) -> None:
        """Closes it for a call, begun in `era`, that is answered: while it is open, only the trial is of its era."""
        if era == self._era and self.is_open:
            self.reset()

    def _learn(self, call: Call) -> None:
        if call.outcome == "failure":
            self._failures += 1
            if self._probing or self._failures == FAILURES_TO_OPEN:
                self._begin_era(opened_at=self._clock())
        elif call.outcome == "success":
            self._failures = 0
            if self._probing:
                self.reset()
        else:
            self._probing = False

    def _begin_era(self, opened_at: float | None) -> None:
        self._era += 1
        self._failures = 0
        self._opened_at = opened_at
        self._probing = False
