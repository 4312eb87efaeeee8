"""When a router was killed or stopped for good: what was on its connections then may be cut off."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

NEWS_SECONDS: Final = 1.0  # in which everyone who was connected has noticed


@dataclass(slots=True)
class Death:
    begun: float
    over: float = math.inf


class Deaths:
    """Spans of time, by a clock that is the event loop's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: list[Death] = []

    def begin(self) -> Death:
        """From now on; until `end` there is no telling."""
        death = Death(self._clock())
        self._deaths.append(death)
        return death

    def end(self, death: Death) -> None:
        death.over = self._clock() + NEWS_SECONDS

    def between(self, began: float, ended: float) -> bool:
        """Whether a router died while something lasted."""
        return any(death.begun <= ended and began <= death.over for death in self._deaths)
