"""The terminal client in a terminal of its own."""

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pyte

from testing.folders import ROOT
from testing.waiting import eventually

PATIENCE_SECONDS = 60
CTRL_C, CTRL_D = "\x03", "\x04"
IN_TERMINAL = ("/bin/sh", "-c", 'exec "$@" < "$0" > "$0" 2>&1')  # which thus becomes that of the new session


class Terminal:
    """What a user would see, and a way to type."""

    def __init__(self, *arguments: str, url: str, rows: int = 24, columns: int = 80, **environment: str) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.received = b""
        self.seen: list[str] = []  # all screens so far, as the output came in pieces
        self._master, self._slave = pty.openpty()
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._process = subprocess.Popen(
            [*IN_TERMINAL, os.ttyname(self._slave), sys.executable, "client/client.py", *arguments],
            cwd=ROOT,
            start_new_session=True,
            env={**inherited, "TERM": "xterm-256color", "TDI_URL": url, **environment},
        )
        asyncio.get_running_loop().add_reader(self._master, self._receive)

    @property
    def text(self) -> str:
        """The screen, without what is blank at the ends of lines and below."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def terminate(self) -> None:
        self._process.terminate()

    async def until(self, condition: Callable[[], bool]) -> None:
        try:
            await eventually(condition, PATIENCE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"it never came true; on the screen:\n{self.text}") from error

    async def shows(self, text: str) -> None:
        await self.until(lambda: text in self.text)

    async def waits_at(self, prompt: str) -> None:
        """So that a signal is heard at once: what reaches Python's readline just before, it hears with the next one."""
        process = psutil.Process(self._process.pid)
        await self.until(lambda: self.text.endswith(prompt) and process.status() == psutil.STATUS_SLEEPING)

    async def end(self) -> int:
        """Its exit code."""
        await self.until(lambda: self.exit_code is not None)
        self._receive()
        assert self.exit_code is not None
        return self.exit_code

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self._process.kill()
        self._process.wait()
        os.close(self._slave)
        os.close(self._master)

    def _receive(self) -> None:
        """What has been written; nothing once the terminal has hung up."""
        with suppress(OSError):
            while received := os.read(self._master, 65536):
                self.received += received
                self._stream.feed(received)
                self.seen.append(self.text)


Start = Callable[..., Terminal]


@contextmanager
def terminals() -> Iterator[Start]:
    """Give what starts the client in a terminal: `start("--watch", "Hello", url=…, NO_COLOR="1")`."""
    started: list[Terminal] = []

    def start(*arguments: str, **options: Any) -> Terminal:
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()
