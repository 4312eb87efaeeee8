"""The whole stack, started as a user starts it, and asked over HTTP."""

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp

from benchmarks.prompts import Prompt
from testing.folders import ROOT
from worker.sampling_params import SamplingParams

MODEL = "benchmark"
STOP_SECONDS = 60


class Client:
    """Clients of the stack at `url`, in one event loop that lives from round to round, as do their connections."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._loop = asyncio.new_event_loop()
        self._session = self._loop.run_until_complete(_session())

    def run_at_once(self, prompts: Sequence[Prompt], options: SamplingParams) -> float:
        """Seconds from the first request until the last reply is there.

        Raises `RuntimeError` if a reply is refused or does not fill its canvas.
        """
        return self._loop.run_until_complete(self._run_at_once(prompts, options))

    def close(self) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    async def _run_at_once(self, prompts: Sequence[Prompt], options: SamplingParams) -> float:
        began = time.perf_counter()
        answers = await asyncio.gather(*(self._ask(_body(prompt, options)) for prompt in prompts))
        seconds = time.perf_counter() - began
        expected = [(len(prompt.ids), options.gen_length) for prompt in prompts]
        counted = [(answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) for answer in answers]
        if counted != expected:
            raise RuntimeError(f"prompts and replies should be {expected} tokens long, and were {counted}")
        return seconds

    async def _ask(self, body: dict[str, object]) -> dict[str, Any]:
        async with self._session.post(self._url, json=body) as response:
            answer: dict[str, Any] = await response.json()
        if "error" in answer:
            raise RuntimeError(f"the stack refused a request: {answer['error']['message']}")
        return answer


@contextmanager
def serving(folder: Path, *, dtype: str, device: str, concurrent: int) -> Iterator[Client]:
    """A stack of its own on a free port, with the model in `folder`, and its client."""
    settings = {"model": folder, "id": MODEL, "dtype": dtype, "devices": device, "port": 0}
    places = dict.fromkeys(("max-concurrent-requests", "max-running-requests"), concurrent)
    with launched(settings | places) as (url, _):
        client = Client(url)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def launched(settings: Mapping[str, object]) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """A stack with these flags: its URL, and the launcher's process."""
    flags = [f"--{name}={value}" for name, value in settings.items()]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own launcher
            [sys.executable, "-m", "launcher", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _url(process, log), process
        finally:
            _stop(process)


def _url(process: "subprocess.Popen[str]", log: IO[str]) -> str:
    """Where the stack says that it listens; it says nothing else on standard output."""
    ready = re.search(r"Ready: (\S+)", process.stdout.readline() if process.stdout else "")
    if not ready:
        log.seek(0)
        raise RuntimeError(f"the stack did not start:\n{log.read()}")
    return ready[1]


def _stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # the processes that it started end with it
        raise


def _body(prompt: Prompt, options: SamplingParams) -> dict[str, object]:
    rules = {"threshold": options.threshold, "factor": options.factor}
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt.text}],
        "max_tokens": options.gen_length,
        "block_length": options.block_length,
        "kv_cache": options.kv_cache.value,
        "temperature": options.temperature,
        "ignore_eos": True,
        **({name: value for name, value in rules.items() if value is not None} or {"steps": options.steps}),
    }


async def _session() -> aiohttp.ClientSession:
    """Made inside the loop, as aiohttp wants it; without a bound on connections or time."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))
