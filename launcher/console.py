"""What the launcher says, and what its children say through it, for people or for machines."""

import contextlib
import io
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TextIO

NAME = "launcher"
Level = Literal["info", "warning", "error"]


def unbuffer() -> None:
    """Has standard output and error keep nothing: what a full disk did not take would fail again at the end."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream:
            raw = io.FileIO(stream.fileno(), "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True))


class Console:
    """Writes whole lines to standard error, each with the name of the process that it comes from."""

    def __init__(self, log_format: Literal["console", "json"] = "console") -> None:
        self.log_format = log_format

    @property
    def _json(self) -> bool:
        return self.log_format == "json"

    def say(self, text: str, level: Level = "info") -> None:
        """One line from the launcher itself."""
        self._write(sys.stderr, self._line(NAME, text, level))

    def complain(self, problem: str, lines: Iterable[str] = ()) -> None:
        """What went wrong, and the last `lines` of the process that it went wrong with."""
        lines = list(lines)
        self.say(f"{problem}; its last lines:" if lines else problem, "error")
        for line in lines:
            self.say(f"    {line}", "error")

    def relay(self, name: str, line: str) -> None:
        """One line from the process called `name`; a line that is JSON already stays as it is."""
        self._write(sys.stderr, line if self._json and line.startswith("{") else self._line(name, line, "info"))

    def announce(self, text: str) -> None:
        """The one line on standard output: the server is ready, and this is where."""
        self._write(sys.stdout, self._line(NAME, text, "info") if self._json else text)

    def _line(self, name: str, text: str, level: Level) -> str:
        if not self._json:
            return f"{name} | {text}"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"event": text, "level": level, "timestamp": now, "process": name}, ensure_ascii=False)

    def _write(self, stream: TextIO, line: str) -> None:
        # A log that nobody reads, or a full disk, is no reason to stop serving.
        with contextlib.suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()
