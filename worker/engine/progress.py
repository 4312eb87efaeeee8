"""Whether the engine gets on. A forward pass that never ends stops everybody, and raises nothing that would tell."""

import time
from collections.abc import Callable


class Progress:
    """Since when the engine has been at one step; the engine writes it, any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: float | None = None

    def begin(self) -> None:
        """There is work, and whatever was done before is over."""
        self._begun = self._clock()

    def rest(self) -> None:
        """There is nothing to do."""
        self._begun = None

    @property
    def resting(self) -> bool:
        return self._begun is None

    @property
    def lasted(self) -> float:
        """Seconds that the step under way has taken so far; 0 while there is nothing to do."""
        begun = self._begun  # read once, for the engine may write meanwhile
        return 0.0 if begun is None else self._clock() - begun
