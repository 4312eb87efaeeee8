"""Starts the launcher as a user does, with stand-ins for the worker and the router; or in this process."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import launcher.stack
from launcher import restarts, supervised
from testing.folders import ROOT
from tests.integration.launcher.stage import ActorHealth, Stage

FAKES = Path(__file__).parent / "fakes"
DEADLINE_SECONDS = 60
END_SECONDS = 10  # of what the launcher leaves behind, whatever it does


def order(text: str, *words: str) -> bool:
    places = [text.index(word) for word in words]
    return places == sorted(places)


def config(folder: Path, text: str = "") -> None:
    """Written at once, as an editor or Kubernetes would."""
    written = folder / "written.toml"
    written.write_text(f'[[models]]\npath = "tiny"\ndevices = ["cpu"]\n{text}')
    written.rename(folder / "config.toml")


class Stack:
    """A launcher that runs in a folder of its own, and what it has said so far."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._launcher = subprocess.Popen(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{FAKES}{os.pathsep}{ROOT}", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._watchdog = threading.Timer(DEADLINE_SECONDS, self._launcher.kill)
        self._watchdog.start()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def children(self) -> dict[str, int]:
        return {name: int(pid) for name, pid in re.findall(r"^([\w-]+) \| pid (\d+)", self.text, re.MULTILINE)}

    def until(self, words: str) -> "Stack":
        """Reads up to a line that has `words` in it."""
        assert self._launcher.stdout
        for line in self._launcher.stdout:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return self
        pytest.fail(f"the launcher ended without saying {words!r}, but:\n{self.text}")

    def send(self, number: signal.Signals) -> None:
        self._launcher.send_signal(number)

    def runs_on_for(self, seconds: float) -> bool:
        try:
            self._launcher.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def exit_code(self) -> int:
        assert self._launcher.stdout
        self.lines += self._launcher.stdout.read().splitlines()
        return self._launcher.wait()

    def close(self) -> None:
        self._watchdog.cancel()
        self._launcher.kill()
        self._launcher.communicate()


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Return whether a process ends in time, and kill it if not; one that nobody has reaped yet has ended too."""

    def ends(pid: int) -> bool:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            ended = bool(select.select([descriptor], [], [], END_SECONDS)[0])
            if not ended:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return ended
        finally:
            os.close(descriptor)

    return ends


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Starts the launcher with these arguments, on any free port; keywords are its environment."""
    (tmp_path / "tiny").mkdir()
    stacks = []

    def start(*arguments: str, **environment: str) -> Stack:
        stack = Stack(tmp_path, ("--port=0", *arguments), environment)
        stacks.append(stack)
        return stack

    yield start
    for stack in stacks:
        stack.close()


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A launcher to be launched in this process, whose children start, answer and end at once."""
    stage = Stage(tmp_path)
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervised.Child, "start", stage.start)
    monkeypatch.setattr(launcher.stack, "WorkerHealth", partial(ActorHealth, stage))
    monkeypatch.setattr(launcher.stack, "RouterHealth", lambda control: ActorHealth(stage, str(control)))
    for module, name in ((supervised, "POLL_SECONDS"), (launcher.stack, "POLL_SECONDS"), (supervised, "PROBE_SECONDS")):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(supervised, "KILL_MARGIN_SECONDS", 0)
    monkeypatch.setattr(restarts, "FIRST_DELAY_SECONDS", 0.01)
    yield stage
    await stage.close()
