"""A stack that is changed while it runs: its config.toml, and its launcher.

The launcher runs in a folder of its own, where all that it writes is found and its processes are told.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import aiohttp
import psutil

from testing.folders import DEMO, ROOT
from textdiffusion.status import STATUS_PATH, LauncherStatus, ProcessStatus

Value = str | int | float | Sequence[str] | Mapping[str, str]
Section = Mapping[str, Value]

MODEL: Final = "demo"
START_SECONDS: Final = 120.0
STATUS_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.1


def served(model: str = MODEL, *, workers: int, **settings: Value) -> Section:
    """The bundled model under a name, on so many workers."""
    return {"id": model, "path": str(DEMO), "devices": ["cpu"] * workers, **settings}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Sections of settings, those of each model one of `models`."""

    models: Sequence[Section]
    router: Section = field(default_factory=lambda: {"port": 0})
    launcher: Section = field(default_factory=dict)

    @property
    def text(self) -> str:
        named = [("[launcher]", self.launcher), ("[router]", self.router)]
        sections = [*named, *(("[[models]]", model) for model in self.models)]
        return "\n".join(line for name, section in sections for line in (name, *_lines(section), ""))

    def with_router(self, **settings: Value) -> Self:
        return replace(self, router={**self.router, **settings})

    def with_models(self, **settings: Value) -> Self:
        """Every model with these settings too."""
        return replace(self, models=[{**model, **settings} for model in self.models])


def _lines(section: Section) -> Iterator[str]:
    return (f"{name} = {_toml(value)}" for name, value in section.items())


def _toml(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)


class Stack:
    """The launcher, its config.toml and its log. What it starts has the folder as its TMPDIR and so is told apart."""

    def __init__(self, folder: Path, configuration: Configuration, environment: Mapping[str, str]) -> None:
        self.url = ""  # of the router, once the stack serves
        self._folder = folder
        self._file = folder / "config.toml"
        self._log = folder / "log"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment, "TMPDIR": str(folder)}
        self._process: subprocess.Popen[bytes] | None = None
        self._log.touch()
        self.configure(configuration.text)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the launcher has not been started")
        return self._process.pid

    @property
    def log(self) -> str:
        """What launcher and children have said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def runtime_folders(self) -> Sequence[Path]:
        """Of all launchers that ran here and left theirs behind, or run still."""
        return list(self._folder.glob(f"tdi-{os.getuid()}/*"))

    def configure(self, text: str) -> None:
        """Writes config.toml in one go, so that it is never read half written."""
        new = self._file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self._file)

    def launch(self, *flags: str, output: Path | None = None) -> None:
        """Starts the launcher; what it says goes to the log, or to `output`."""
        with (output or self._log).open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "launcher", *flags],
                cwd=self._folder,
                env=self._environment,
                stdout=said,
                stderr=said,
            )

    async def serves(self) -> LauncherStatus:
        """Returns once the launcher serves what is configured. Raises `RuntimeError` if it ends or takes too long."""
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up and self.exit_code is None:
            status = await self.status()
            if status and is_well(status):
                self.url = routers(status)[-1]["address"]
                return status
            await asyncio.sleep(POLL_SECONDS)
        raise RuntimeError(f"the stack does not serve:\n{self.log}")

    async def status(self) -> LauncherStatus | None:
        """What the launcher says of its processes; none if nobody answers."""
        for socket in self._folder.glob(f"tdi-{os.getuid()}/*/launcher.sock"):
            timeout = aiohttp.ClientTimeout(total=STATUS_SECONDS)
            connector = aiohttp.UnixConnector(path=str(socket))
            with suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                async with (
                    aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                    session.get(f"http://launcher{STATUS_PATH}") as response,
                ):
                    status: LauncherStatus = await response.json()
                    return status
        return None

    def send(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)

    def terminate(self) -> None:
        """Asks the launcher to stop."""
        self.send(signal.SIGTERM)

    @property
    def exit_code(self) -> int | None:
        """None while the launcher runs."""
        return self._process.poll() if self._process else None

    async def ended(self, seconds: float) -> int:
        """The launcher's exit code. Raises `RuntimeError` if it has none after so many seconds."""
        give_up = time.monotonic() + seconds
        while (code := self.exit_code) is None:
            if time.monotonic() > give_up:
                raise RuntimeError(f"the launcher did not end within {seconds:g} s:\n{self.log}")
            await asyncio.sleep(POLL_SECONDS)
        return code

    def processes(self) -> list[psutil.Process]:
        """All that run which the launchers in this folder have started, themselves included."""
        return [process for process in psutil.process_iter() if self._started(process)]

    def end(self) -> None:
        """Kills what still runs."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process:
            self._process.wait()

    def _started(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get("TMPDIR") == str(self._folder)
            return ours and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@contextmanager
def folder_for(configuration: Configuration, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack that is not started yet; in the end nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="tdi-", dir="/tmp"))
    stack = Stack(folder, configuration, environment or {})
    try:
        yield stack
    finally:
        stack.end()
        shutil.rmtree(folder, ignore_errors=True)


def is_well(status: LauncherStatus) -> bool:
    """Whether all that there is serves, and no change is under way."""
    return status["state"] == "serving" and all(process["state"] == "ready" for process in status["processes"])


def routers(status: LauncherStatus) -> list[ProcessStatus]:
    """The last one is in charge."""
    return [process for process in status["processes"] if process["role"] == "router"]


def workers(status: LauncherStatus) -> list[ProcessStatus]:
    return [process for process in status["processes"] if process["role"] == "worker"]


def serving_workers(status: LauncherStatus) -> list[ProcessStatus]:
    return [process for process in workers(status) if process["state"] == "ready"]
