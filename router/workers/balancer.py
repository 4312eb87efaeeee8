"""Chooses the worker with the least outstanding work."""

from collections.abc import Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)


class Balancer(Generic[W]):
    """Counts the canvas positions that each worker still has to denoise; equals take turns."""

    def __init__(self) -> None:
        self._outstanding: dict[W, int] = {}
        self._last_turn: dict[W, int] = {}
        self._turns = count(1)

    def outstanding(self, worker: W) -> int:
        return self._outstanding.get(worker, 0)

    def choose(self, candidates: Sequence[W]) -> W:
        """One of `candidates`, which must not be empty."""
        worker = min(candidates, key=lambda one: (self.outstanding(one), self._last_turn.get(one, 0)))
        self._last_turn[worker] = next(self._turns)
        return worker

    @contextmanager
    def lease(self, worker: W, positions: int) -> Iterator[None]:
        """The work counts as the worker's until the lease ends."""
        self._outstanding[worker] = self.outstanding(worker) + positions
        try:
            yield
        finally:
            self._outstanding[worker] -= positions

    def keep(self, workers: Collection[W]) -> None:
        """Forgets all others, except for what they still have to do."""
        self._outstanding = {one: left for one, left in self._outstanding.items() if left or one in workers}
        self._last_turn = {one: turn for one, turn in self._last_turn.items() if one in workers}
