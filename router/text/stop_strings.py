"""Ends a text at the first of some strings, and lets no part of them through on the way there."""

from collections.abc import Sequence


class StopStrings:
    """The string that is complete first ends the text; of those complete at once, the one that began first.

    What has been read may end in the beginning of a stop string; that end is held back until it is decided. How the
    text is cut into pieces makes no difference.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        """With `include` the string that ends the text is a part of it."""
        self._stops = stops
        self._include = include
        self._beginnings = frozenset(stop[0] for stop in stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """What of the text so far may be shown now; nothing any more once a stop string was found."""
        if self.found:
            return ""
        self._held += text
        ends = [(start + len(stop), start) for stop in self._stops if (start := self._held.find(stop)) >= 0]
        self.found = bool(ends)
        if not ends:
            return self._release(self._undecided())
        end, start = min(ends)
        return self._release(end if self._include else start)

    def flush(self) -> str:
        """What is still held back; the text is over."""
        return "" if self.found else self._release(len(self._held))

    def _undecided(self) -> int:
        """Where the longest end of the text that begins a stop string begins."""
        length = len(self._held)
        for start in range(max(0, length - self._longest + 1), length):
            if self._held[start] in self._beginnings and self._begins_a_stop(self._held[start:]):
                return start
        return length

    def _begins_a_stop(self, text: str) -> bool:
        return any(stop.startswith(text) for stop in self._stops)

    def _release(self, end: int) -> str:
        released, self._held = self._held[:end], self._held[end:]
        return released
