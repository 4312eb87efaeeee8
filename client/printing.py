"""Text on the terminal, where control characters of a model or a server must not arrive, or wherever it is piped."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self, TextIO

from client.chunks import Chunk
from client.errors import UnwritableError

CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # C0 and C1, but for line breaks and tabs
WITHOUT_A_CURSOR: Final = ("dumb", "unknown")  # values of TERM


@contextmanager
def writing() -> Iterator[None]:
    """While answers are shown. Raises `UnwritableError`; a reader who had enough, and left, only ends it."""
    if sys.stdout is None:
        raise UnwritableError("cannot write the answer: standard output is closed")
    try:
        yield
    except OSError as error:
        _abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise UnwritableError(f"cannot write the answer: {error.strerror}") from error


def show(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A line for the user that is no part of an answer; lost where standard error takes nothing."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{harmless(text)}\n")
        sys.stderr.flush()
    except OSError:
        _abandon(sys.stderr)


def harmless(text: str) -> str:
    return CONTROLS.sub("", text)


def steers_a_cursor(stream: TextIO) -> bool:
    """Whether something can be drawn on it in place."""
    return stream.isatty() and os.environ.get("TERM") not in WITHOUT_A_CURSOR


def _abandon(stream: TextIO) -> None:
    """Lets go of what it holds, which the interpreter would in the end try to write once more, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
