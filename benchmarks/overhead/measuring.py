"""The ways to an instant worker, straight over gRPC and through the router, and the load on each of them."""

import gc
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import psutil

from benchmarks.load import Call, Summary, arrivals, run_open_loop
from benchmarks.prompts import Prompt, prompts_of
from testing.folders import DEMO, ROOT
from testing.instant import MODEL, READY
from testing.openai_client import HTTP_OK, Clock, Reply, Usage, ask, connected
from textdiffusion.rpc import CHANNEL_OPTIONS
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 60, 30, 0.1
TIMEOUT_SECONDS = 60.0  # of a request
WARM_UP_SECONDS = 2.0
PROMPTS = 64  # that take turns
PROMPT_TOKENS, REPLY_TOKENS, UPDATES = 128, 64, 8
KEPT_UP_SHARE = 0.98
KEPT_UP_P99 = 100.0  # milliseconds; beyond it requests pile up

Ask = Callable[[Prompt, Clock, bool], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Processes:
    """What is measured, and where it listens."""

    running: Mapping[str, psutil.Popen]
    worker: str
    router: str
    hello: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One way under one rate of requests, the one that was asked for.

    `cpu` is microseconds of processor time per request, by process; `others` are the cores that were busy with anything
    else, and took what they took from these.
    """

    target: str
    stream: bool
    rate: float
    load: Summary
    cpu: Mapping[str, float]
    others: float

    @property
    def keeps_up(self) -> bool:
        """Whether replies came as fast as requests, and none of them had to wait for long."""
        load = self.load
        if load.latency is None:
            return False
        return load.completed_rate >= KEPT_UP_SHARE * load.offered_rate and load.latency.p99 <= KEPT_UP_P99


class Bench:
    """The ways to the worker by their names, held open so that connections are kept alive."""

    def __init__(self, ways: Mapping[str, Ask], processes: Processes) -> None:
        self._ways = ways
        self._prompts = prompts_of(DEMO, PROMPT_TOKENS, PROMPTS)
        self._processes = {**processes.running, "client": psutil.Process()}

    async def check(self) -> None:
        """Raises `RuntimeError` unless all ways lead to the same reply."""
        for target, stream in (("direct", False), ("direct", True), ("router", False), ("router", True)):
            reply = await self._ways[target](self._prompts[0], time.monotonic, stream)
            if reply.failure or reply.usage.completion_tokens != REPLY_TOKENS or bool(reply.texts) != stream:
                raise RuntimeError(f"{target} gives no reply of {REPLY_TOKENS} tokens, but {reply}")

    async def measure(self, target: str, rate: float, seconds: float, *, stream: bool, seed: int) -> Measurement:
        """At so many requests a second, after a warm-up that does not count."""
        await self._load(target, arrivals(rate, WARM_UP_SECONDS, f"{seed} warm-up"), stream)
        # What is there by now stays; collecting it again and again would stop the clock of everyone who waits.
        gc.collect()
        gc.freeze()
        before, busy_before = self._cpu_seconds(), _busy_seconds()
        load = Summary.of(await self._load(target, arrivals(rate, seconds, f"{seed} load"), stream), seconds)
        spent = {name: after - before[name] for name, after in self._cpu_seconds().items()}
        others = max(0.0, _busy_seconds() - busy_before - sum(spent.values())) / load.lasted
        cpu = {name: round(1e6 * taken / max(1, load.requests), 1) for name, taken in spent.items()}
        return Measurement(target=target, stream=stream, rate=rate, load=load, cpu=cpu, others=round(others, 3))

    async def _load(self, target: str, due: Sequence[float], stream: bool) -> list[Call]:
        way = self._ways[target]
        return await run_open_loop(due, lambda number, clock: way(self._prompts[number % PROMPTS], clock, stream))

    def _cpu_seconds(self) -> dict[str, float]:
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: spent.user + spent.system for name, spent in times.items()}


@asynccontextmanager
async def opened(processes: Processes) -> AsyncIterator[Bench]:
    """Connections to the processes, for as long as the context lasts."""
    async with (
        connected() as session,
        grpc.aio.insecure_channel(processes.worker, options=CHANNEL_OPTIONS) as channel,
    ):
        ways = {
            "direct": _over_grpc(rpc.TextGenerationServiceStub(channel)),
            "router": _over_http(session, processes.router),
            "hello": _over_http(session, processes.hello),
        }
        yield Bench(ways, processes)


def _over_grpc(stub: "rpc.TextGenerationServiceAsyncStub") -> Ask:
    """Calls the worker as the router does, with the ids that the router would make of a prompt."""
    options = pb.DiffusionOptions(gen_length=REPLY_TOKENS)

    async def ask_worker(prompt: Prompt, clock: Clock, stream: bool) -> Reply:
        request = pb.GenerateRequest(prompt=pb.Tokens(ids=prompt.ids), options=options)
        texts, finished = [], pb.GenerateResponse()
        try:
            if stream:
                async for update in stub.GenerateStream(request, timeout=TIMEOUT_SECONDS):
                    texts.append(clock())
                    finished = update.finished
            else:
                finished = await stub.Generate(request, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return Reply(error=error.code().name)
        return Reply(texts=texts, usage=Usage(completion_tokens=finished.usage.completion_tokens))

    return ask_worker


def _over_http(session: aiohttp.ClientSession, address: str) -> Ask:
    url = f"http://{address}/v1/chat/completions"

    async def ask_server(prompt: Prompt, clock: Clock, stream: bool) -> Reply:
        messages = [{"role": "user", "content": prompt.text}]
        streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        body = json.dumps({"model": MODEL, "messages": messages, "max_tokens": REPLY_TOKENS, **streaming}).encode()
        return await ask(session, url, body, stream=stream, seconds=TIMEOUT_SECONDS, clock=clock)

    return ask_server


@contextmanager
def started(folder: Path, router_flags: Sequence[str]) -> Iterator[Processes]:
    """An instant worker with a bare HTTP server beside it, and a router before it, which log to the folder.

    Raises `RuntimeError` if one of them does not start.
    """
    address, (hello, port) = f"unix:{folder}/worker.sock", (_free_port(), _free_port())
    servers = ["testing.instant", address, *map(str, (hello, REPLY_TOKENS, UPDATES))]
    router_command = ["router", f"--workers={address}", f"--host={HOST}", f"--port={port}", *router_flags]
    with _process(servers, folder / "worker.log") as worker, _process(router_command, folder / "router.log") as router:
        if worker.stdout.readline().strip() != READY:
            raise RuntimeError(f"the worker did not start:\n{(folder / 'worker.log').read_text()}")
        give_up = time.monotonic() + START_SECONDS
        while not _is_ready(port):
            if router.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the router does not serve:\n{(folder / 'router.log').read_text()}")
            time.sleep(POLL_SECONDS)
        yield Processes({"worker": worker, "router": router}, address, f"{HOST}:{port}", f"{HOST}:{hello}")


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[psutil.Popen]:
    with log.open("w") as said:
        process = psutil.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True
        )
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health/ready") as answer:
            return bool(answer.status == HTTP_OK)
    except OSError:  # it does not listen yet, or knows no worker
        return False


def _busy_seconds() -> float:
    """Of all cores together, what a hypervisor took for others among them."""
    times = psutil.cpu_times()._asdict()
    return float(sum(times.get(name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
