"""Turns a growing row of token ids into text, whole characters only.

A character may span several tokens, and what a token looks like may depend on the one before it. So the text is decoded
from a little before its end, and a piece that ends in the replacement character waits for the rest of its bytes.
"""

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
CONTEXT_TOKENS = 8
BYTES_OF_A_CHARACTER = 4  # at most; so many tokens later it is decided


class Detokenizer:
    """`before` are the ids that the text follows, if it continues one."""

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        context = list(before[-CONTEXT_TOKENS:])
        # Half a character at the end of what was given is not ours to complete.
        self._ids = [] if decode(context).endswith(REPLACEMENT) else context
        self._context = 0  # decoding starts here
        self._sent = len(self._ids)  # tokens before this one have been given out

    def push(self, ids: Sequence[int]) -> str:
        """The text that these ids complete."""
        self._ids += ids
        text, end = self._unsent(), len(self._ids)
        if text.endswith(REPLACEMENT):
            text, end = self._decided(text)
        elif not text:
            self._forget_empty()
        if text:
            self._context, self._sent = self._sent, end
        return text

    def flush(self) -> str:
        """What is still held back; the reply is over."""
        text = self._unsent() if self._sent < len(self._ids) else ""
        self._context = self._sent = len(self._ids)
        return text

    def _unsent(self, end: int | None = None) -> str:
        given = self._decode(self._ids[self._context : self._sent]) if self._context < self._sent else ""
        return self._decode(self._ids[self._context : end])[len(given) :]

    def _forget_empty(self) -> None:
        """Of many tokens without text, such as end tokens, keeps the first few: they are context enough for the next.

        Without this a reply that goes on after its end would be decoded from its last character at each token.
        """
        if len(self._ids) - self._sent > CONTEXT_TOKENS:
            self._context = max(self._context, self._sent - CONTEXT_TOKENS)
            del self._ids[self._sent + CONTEXT_TOKENS :]

    def _decided(self, text: str) -> tuple[str, int]:
        """What of the unsent text no further byte can change, and the tokens up to there.

        Without this a reply of nothing but broken characters would be decoded from its beginning at each token.
        """
        last = len(self._ids) - BYTES_OF_A_CHARACTER
        for end in range(last, max(last - BYTES_OF_A_CHARACTER, self._sent + BYTES_OF_A_CHARACTER), -1):
            part = self._unsent(end)
            if text.startswith(part):
                return part, end
        return "", self._sent
