"""Text on the terminal, where control characters of a model or a server must not arrive, or wherever it is piped."""

import os
import re
import sys
from typing import Final, TextIO

from typing_extensions import Self

from client.chunks import Chunk

CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # C0 and C1, but for line breaks and tabs
WITHOUT_A_CURSOR: Final = ("dumb", "unknown")  # values of TERM


def show(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A line for the user that is no part of an answer."""
    sys.stderr.write(f"{harmless(text)}\n")
    sys.stderr.flush()


def harmless(text: str) -> str:
    return CONTROLS.sub("", text)


def steers_a_cursor(stream: TextIO) -> bool:
    """Whether something can be drawn on it in place."""
    return stream.isatty() and os.environ.get("TERM") not in WITHOUT_A_CURSOR


class Printed:
    """An answer, printed as it becomes readable."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._begun = bool(prefix)

    def __enter__(self) -> Self:
        show(self._prefix)
        return self

    def add(self, chunk: Chunk) -> None:
        show(chunk.text)
        self._begun = self._begun or bool(chunk.text)

    def __exit__(self, *_: object) -> None:
        show("\n" if self._begun else "")
