"""How many requests may be sent to a second worker.

All requests that one dead worker had may be, at once. But in a lasting outage every request would come several times,
just when there are the fewest workers, were there no bound.
"""

from collections.abc import Callable
from typing import Final

EARNED_BY_A_REQUEST: Final = 0.1  # of a retry
LEAST_BURST: Final = 10


class RetryBudget:
    """A bucket of tokens that begins full: a request puts a tenth of one in, a retry takes one out."""

    def __init__(self, places: Callable[[], int]) -> None:
        """`places` says how many requests all workers run at once, which is as many tokens as there can be."""
        self._places = places
        self._spent = 0.0  # tokens missing from a full bucket, whose size changes as workers come and go

    @property
    def affordable(self) -> bool:
        """Whether there is a token for a retry."""
        return max(self._places(), LEAST_BURST) - self._spent >= 1

    def earn(self) -> None:
        """For a request that is sent for the first time."""
        self._spent = max(0.0, self._spent - EARNED_BY_A_REQUEST)

    def spend(self) -> None:
        """Takes a token for a retry that is `affordable`."""
        self._spent += 1
