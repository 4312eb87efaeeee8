"""The processes that are measured: an instant worker, a router before it, and a bare HTTP server beside them."""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.instant_worker import MODEL
from testing.folders import ROOT

START_SECONDS = 60
STOP_SECONDS = 30
POLL_SECONDS = 0.1
LOG_CHARACTERS = 2000  # of its end that are told if something goes wrong
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Processes:
    """Where they listen."""

    worker: str
    router: str
    hello: str
    all: "Sequence[_Process]"

    @property
    def ids(self) -> dict[str, int]:
        """Their process ids, by name."""
        return {process.name: process.id for process in self.all}

    def check(self) -> None:
        """Raises `RuntimeError` if one of them has ended."""
        for process in self.all:
            process.check()


@contextmanager
def running(*, reply_tokens: int, updates: int, router_flags: Sequence[str]) -> Iterator[Processes]:
    """All of them, for as long as the context lasts. Raises `RuntimeError` if one does not start."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        address = f"unix:{folder}/worker.sock"
        shape = [f"--reply-tokens={reply_tokens}", f"--updates={updates}"]
        worker = _Process(folder, "worker", ["benchmarks.instant_worker", f"--listen={address}", *shape])
        opened.callback(worker.stop)
        worker.first_line()
        hello = _Process(folder, "hello", ["benchmarks.overhead.hello"])
        opened.callback(hello.stop)
        port = hello.first_line()
        router_port = _free_port()
        url = f"http://{HOST}:{router_port}/v1"
        flags = [f"--workers={address}", f"--host={HOST}", f"--port={router_port}", *router_flags]
        router = _Process(folder, "router", ["router", *flags])
        opened.callback(router.stop)
        router.wait_for_model(url)
        yield Processes(
            worker=address,
            router=url,
            hello=f"http://{HOST}:{port}/v1",
            all=(worker, router, hello),
        )


class _Process:
    """A module of this repository, its log in a file as it would be in production."""

    def __init__(self, folder: Path, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )

    @property
    def id(self) -> int:
        return self._process.pid

    def first_line(self) -> str:
        """What it says once it serves."""
        said: IO[str] | None = self._process.stdout
        line = said.readline() if said else ""
        if not line:
            raise self._failure("did not start")
        return line.strip()

    def wait_for_model(self, url: str) -> None:
        give_up = time.monotonic() + START_SECONDS
        while MODEL not in _models(url):
            self.check()
            if time.monotonic() > give_up:
                raise self._failure("does not find its worker")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        if self._process.poll() is not None:
            raise self._failure(f"ended with status {self._process.returncode}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _failure(self, what: str) -> RuntimeError:
        return RuntimeError(f"the {self.name} {what}:\n{self._log.read_text()[-LOG_CHARACTERS:]}")


def _models(url: str) -> list[str]:
    try:
        with urllib.request.urlopen(f"{url}/models", timeout=START_SECONDS) as response:  # noqa: S310 - our own router
            return [model["id"] for model in json.load(response)["data"]]
    except OSError:  # it does not listen yet
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
