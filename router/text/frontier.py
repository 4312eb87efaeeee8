"""Puts the tokens that denoising commits in any order back into reading order."""

from collections.abc import Collection, Iterable

from router.errors import BadWorkerResponseError
from textdiffusion.v1.textdiffusion_pb2 import CommittedToken


class CommittedFrontier:
    """Holds back what was committed beyond the first masked position; ends before the first end token."""

    def __init__(self, end_ids: Collection[int]) -> None:
        self._end_ids = frozenset(end_ids)
        self._ahead: dict[int, CommittedToken] = {}
        self._ready = 0
        self._ended = False
        self.released = 0

    def commit(self, tokens: Iterable[CommittedToken], ready: int) -> list[CommittedToken]:
        """The tokens that become readable with `tokens`, now that the first `ready` positions are filled.

        Raises `BadWorkerResponseError` if a position below `ready` was never committed.
        """
        self._ahead.update((token.position, token) for token in tokens)
        released: list[CommittedToken] = []
        while self._ready < ready:
            if self._ready not in self._ahead:
                raise BadWorkerResponseError
            token = self._ahead.pop(self._ready)
            self._ready += 1
            self._ended = self._ended or token.id in self._end_ids
            if not self._ended:
                released.append(token)
        self.released += len(released)
        return released
