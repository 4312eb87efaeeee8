"""Cuts what a process writes into lines that can be shown between those of others.

Whatever a process writes must come out: lines without end, bytes that are not UTF-8, and progress bars, which redraw
one line over and over and would otherwise fill the log.
"""

import codecs
import re
import time
from collections.abc import Callable

LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
CURSOR_MOVEMENT = re.compile(r"\x1b\[[0-9;?]*[A-HJKSTfhl]")
LONGEST_LINE = 1 << 20
SECONDS_BETWEEN_REDRAWS = 2.0


class Lines:
    """Takes bytes as they arrive and hands each complete line to `show`; a redrawn line only now and then."""

    def __init__(self, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._pending = ""
        self._redraw_due = float("-inf")

    def feed(self, received: bytes) -> None:
        self._pending += self._decoder.decode(received)
        start = 0
        for end in LINE_END.finditer(self._pending):
            self._line(self._pending[start : end.start()], redrawn=end.group() == "\r")
            start = end.end()
        self._pending = self._pending[start:]
        while len(self._pending) > LONGEST_LINE:
            self._line(self._pending[:LONGEST_LINE])
            self._pending = self._pending[LONGEST_LINE:]

    def close(self) -> None:
        """Shows what has no line end."""
        rest = self._pending + self._decoder.decode(b"", final=True)
        self._pending = ""
        if rest:
            self._line(rest.removesuffix("\r"))

    def _line(self, text: str, *, redrawn: bool = False) -> None:
        text = CURSOR_MOVEMENT.sub("", text)
        if redrawn:
            if not text.strip() or self._clock() < self._redraw_due:
                return
            self._redraw_due = self._clock() + SECONDS_BETWEEN_REDRAWS
        self._show(text)
