"""One process that the launcher has started.

Built on asyncio's protocols and not on its streams: a stream ends at a line longer than its limit, and `Process.wait`
returns only when nobody holds the pipes any more, which a forgotten grandchild may do for ever.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from subprocess import PIPE
from typing import cast

from launcher.console import Console
from launcher.lines import Lines
from launcher.parent_death import killed_with_this_process
from launcher.plan import Plan
from textdiffusion.lifeline import LIFELINE

STDIN, STDOUT, STDERR = 0, 1, 2
LINES_KEPT = 10
LAST_OUTPUT_SECONDS = 1.0
ENVIRONMENT = {
    LIFELINE: "1",
    "PYTHONUNBUFFERED": "1",
    "TQDM_POSITION": "-1",  # Hugging Face shows its progress although this is no terminal
}


class Child(asyncio.SubprocessProtocol):
    """A process in a group of its own that does not outlive this one; each of its lines goes to the console."""

    def __init__(self, name: str, console: Console) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._heard_at = loop.time()
        self._exited: asyncio.Future[int] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._pipes = {STDOUT: Lines(self._show), STDERR: Lines(self._show)}
        self._console = console

    @classmethod
    async def start(cls, plan: Plan, console: Console) -> "Child":
        """Raises `OSError`."""
        _, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(plan.name, console),
            *killed_with_this_process(*plan.command),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            pass_fds=plan.sockets,
            env={**plan.environment, **ENVIRONMENT},
        )
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        return self._exited.result() if self._exited.done() else None

    def heard(self) -> float:
        """When it last wrote anything, a piece of a progress bar included, by the clock of the event loop."""
        return self._heard_at

    def tell(self, line: str) -> None:
        """Writes a line to the process, which is lost if it has ended."""
        pipe = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(STDIN))
        if pipe and not self._exited.done():
            pipe.write(line.encode() + b"\n")

    def signal(self, number: int) -> None:
        if not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                self._transport.send_signal(number)

    async def gone(self, seconds: float) -> bool:
        """Whether the process ends within so many seconds."""
        done, _ = await asyncio.wait({self._exited}, timeout=seconds)
        return bool(done)

    async def ended(self) -> int:
        """The exit code, once the process is gone and its last lines are shown."""
        returncode = await asyncio.shield(self._exited)
        await asyncio.wait({self._silent}, timeout=LAST_OUTPUT_SECONDS)
        self._transport.close()
        return returncode

    async def stop(self, grace_seconds: float) -> bool:
        """Asks the process to end, and kills it after the grace period; whether asking was enough."""
        self.signal(signal.SIGTERM)
        gone = await self.gone(grace_seconds)
        if not gone:
            self.kill()
        await self.ended()
        return gone

    def kill(self) -> None:
        """Ends the process and all that it started, at once."""
        if not self._exited.done():
            self._kill_group()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._heard_at = self._clock()
        self._pipes[fd].feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        if fd in self._pipes:
            self._pipes[fd].close()

    def process_exited(self) -> None:
        self._kill_group()
        returncode = self._transport.get_returncode()
        self._exited.set_result(0 if returncode is None else returncode)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._silent.set_result(None)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def _show(self, line: str) -> None:
        self.last_lines.append(line)
        self._console.relay(self.name, line)
