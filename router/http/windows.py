"""Where `limits` keeps its counts: in the memory of this process, within bounds.

The library's own storage has none, goes by a clock that may be set back, and again and again starts a thread that looks
through all the counts. Here windows are of one length, so those that have ended are in front, and two of them go
whenever one comes.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from limits.storage import Storage

MOST_WINDOWS: Final = 100_000

Clock = Callable[[], float]


@dataclass(slots=True)
class Window:
    ends_at: float
    count: int = 0


class Windows(Storage):
    """The counts of all clients, oldest window first; of more than `most` the oldest are forgotten."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, most: int = MOST_WINDOWS) -> None:
        super().__init__()
        self._clock = clock
        self._most = most
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        return LookupError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        window = self._current(key) or self._begin(key, self._clock() + expiry)
        window.count += amount
        return window.count

    def get(self, key: str) -> int:
        window = self._current(key)
        return window.count if window else 0

    def get_expiry(self, key: str) -> float:
        window = self._current(key)
        return window.ends_at if window else self._clock()

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def reset(self) -> int:
        cleared = len(self._windows)
        self._windows.clear()
        return cleared

    def check(self) -> bool:
        return True

    def _current(self, key: str) -> Window | None:
        window = self._windows.get(key)
        return window if window and window.ends_at > self._clock() else None

    def _begin(self, key: str, ends_at: float) -> Window:
        self._windows.pop(key, None)
        for _ in range(2):
            oldest = next(iter(self._windows), None)
            if oldest is not None and (len(self._windows) >= self._most or self._current(oldest) is None):
                del self._windows[oldest]
        return self._windows.setdefault(key, Window(ends_at))
