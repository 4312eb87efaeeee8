"""Turns a growing row of token ids into text, whole characters only.

A character may span several tokens, and what a token looks like may depend on the one before it. So the text is decoded
from a little before its end, and a piece that ends in the replacement character waits for the rest of its bytes.
"""

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0  # decoding starts here
        self._sent = 0  # tokens before this one have been given out

    def push(self, ids: Sequence[int]) -> str:
        """The text that these ids complete."""
        self._ids += ids
        text = self._unsent()
        if not text or text.endswith(REPLACEMENT):
            return ""
        self._context, self._sent = self._sent, len(self._ids)
        return text

    def flush(self) -> str:
        """What is still held back; the reply is over."""
        text = self._unsent()
        self._context = self._sent = len(self._ids)
        return text

    def _unsent(self) -> str:
        given = self._decode(self._ids[self._context : self._sent])
        return self._decode(self._ids[self._context :])[len(given) :]
