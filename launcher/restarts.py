"""When a process that died is started again, and when it no longer is.

One that had been serving is back almost at once. One that does not even get that far waits longer and longer, so that
a machine in trouble is not kept busy with starts; the waits differ at random, so that processes that died together do
not start together. One that dies too often is given up: something is wrong that another start will not mend.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

FIRST_DELAY_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 30.0
LEAST_SHARE: Final = 0.5  # of a delay, that is waited in any case; chance decides about the rest


class Restarts:
    """Counts the deaths of one process."""

    def __init__(
        self,
        budget: int,
        window_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """More than `budget` deaths within `window_seconds` are the end; `draw` gives numbers from 0 to 1."""
        self._budget = budget
        self._window_seconds = window_seconds
        self._clock = clock
        self._draw = draw
        self._deaths: deque[float] = deque()
        self._failed_starts = 0

    @property
    def deaths(self) -> int:
        """How many there were within the window."""
        while self._deaths and self._clock() - self._deaths[0] > self._window_seconds:
            self._deaths.popleft()
        return len(self._deaths)

    def served(self) -> None:
        """The process got as far as serving."""
        self._failed_starts = 0

    def died(self) -> float | None:
        """Seconds to wait before the next start; none if there is to be none."""
        self._deaths.append(self._clock())
        if self.deaths > self._budget:
            return None
        delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(self._failed_starts, 16), LONGEST_DELAY_SECONDS)
        self._failed_starts += 1
        return delay * (LEAST_SHARE + (1 - LEAST_SHARE) * self._draw())
