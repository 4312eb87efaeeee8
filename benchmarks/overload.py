"""`python -m benchmarks.overload`, or `just bench-overload`: what a stack does under more load than it can serve.

First closed loops find out how many requests a second it can serve. Then come as many as half of that and, for longer,
twice that, whatever becomes of those before them. Those that are admitted should take no longer as time goes on, those
that are refused should be told so at once, probes should be answered as if nothing were the matter, and memory should
stay what it is.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.load.arrivals import arrivals
from benchmarks.load.distribution import Distribution
from benchmarks.load.event_loop import run
from benchmarks.load.open_loop import Call, Clock, OpenLoop
from benchmarks.serve.client import Client, connected
from benchmarks.serve.reply import Reply
from benchmarks.stack import launched
from testing.folders import DEMO, FIGURES
from testing.report import write_record

MODEL = "demo"
QUESTIONS = ("Spell river", "Count to 7", "What is the capital of France?", "What is 12 + 7?")
PROBE_SECONDS = 0.1
REFUSED = 503
AT_ONCE, AFTER_A_WAIT = "server_overloaded", "queue_timeout"


@dataclass(slots=True)
class Watch:
    """What was seen from beside: how fast probes were answered, in seconds, and how much memory there was, in bytes."""

    probes: list[float] = field(default_factory=list)
    failed_probes: int = 0
    memory: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Latencies in milliseconds, memory in MiB at the beginning and at the end."""

    offered: float
    seconds: float
    requests: int
    admitted: int
    refused: int
    timed_out: int
    failed: dict[str, int]
    admitted_latency: Distribution | None
    admitted_latency_first_half: Distribution | None
    admitted_latency_second_half: Distribution | None
    refusal_latency: Distribution | None
    probe_latency: Distribution | None
    failed_probes: int
    memory: dict[str, tuple[float, float]]


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    flags = {
        "model": DEMO,
        "id": MODEL,
        "devices": "cpu",
        "port": 0,
        "probe-port": arguments.probe_port,
        "queue-timeout-seconds": arguments.longest_wait,
        "log-level": "warning",
    }
    with launched(flags) as (url, launcher):
        figures = run(_measure(url, f"http://127.0.0.1:{arguments.probe_port}", launcher.pid, arguments))
    configuration = {name: value for name, value in vars(arguments).items() if name != "out"}
    write_record(arguments.out / "overload.json", configuration=configuration, **figures)
    print(json.dumps(figures, indent=2))


async def _measure(url: str, probes: str, launcher: int, arguments: argparse.Namespace) -> dict[str, Any]:
    processes: dict[str, psutil.Process] = {
        name: child
        for child in psutil.Process(launcher).children(recursive=True)
        for name in ("router", "worker")
        if name in child.cmdline()
    }
    async with connected(url, "chat", api_key=None, seconds=arguments.timeout) as client:
        await _closed_loops(client, 2, loops=8)  # the first requests of all are slow
        capacity = await _closed_loops(client, arguments.capacity_seconds, loops=arguments.loops)
        phases = [
            await _phase(client, probes, processes, rate=share * capacity, seconds=seconds)
            for share, seconds in ((0.5, arguments.seconds / 2), (2.0, arguments.seconds))
        ]
    return {"capacity": capacity, "half": asdict(phases[0]), "twice": asdict(phases[1])}


async def _closed_loops(client: Client, seconds: float, loops: int) -> float:
    """Requests a second that are served if so many clients ask one after the other."""
    began = time.perf_counter()
    served = 0

    async def ask_again_and_again() -> None:
        nonlocal served
        while time.perf_counter() - began < seconds:
            reply = await client.ask(_body(served), time.perf_counter, stream=False)
            if reply.error and reply.status != REFUSED:
                raise RuntimeError(f"the stack fails without load: {reply.error} {reply.message}")
            served += not reply.error

    await asyncio.gather(*(ask_again_and_again() for _ in range(loops)))
    return served / (time.perf_counter() - began)


async def _phase(
    client: Client, probes: str, processes: dict[str, psutil.Process], *, rate: float, seconds: float
) -> Phase:
    async def ask(number: int, clock: Clock) -> Reply:
        return await client.ask(_body(number), clock, stream=False)

    load = OpenLoop(arrivals(rate, random.Random(0), seconds=seconds), ask)  # noqa: S311 - the same each time
    async with _watched(probes, processes) as watch:
        calls = await load.run()
    return summed_up(calls, watch, rate, seconds)


@asynccontextmanager
async def _watched(probes: str, processes: dict[str, psutil.Process]) -> AsyncIterator[Watch]:
    watch = Watch(memory={name: [] for name in processes})
    async with aiohttp.ClientSession() as session:
        watching = asyncio.create_task(_watch(watch, session, probes, processes))
        try:
            yield watch
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(
    watch: Watch, session: aiohttp.ClientSession, probes: str, processes: dict[str, psutil.Process]
) -> None:
    while True:
        began = time.perf_counter()
        for path in ("live", "ready"):
            asked = time.perf_counter()
            async with session.get(f"{probes}/health/{path}") as response:
                await response.read()
                watch.failed_probes += response.status != 200  # noqa: PLR2004 - OK
            watch.probes.append(time.perf_counter() - asked)
        for name, process in processes.items():
            watch.memory[name].append(process.memory_info().rss)
        await asyncio.sleep(max(0, began + PROBE_SECONDS - time.perf_counter()))


def summed_up(calls: Sequence[Call[Reply]], watch: Watch, rate: float, seconds: float) -> Phase:
    admitted = [call for call in calls if not call.outcome.error]
    refused = [call for call in calls if call.outcome.error == AT_ONCE]
    timed_out = [call for call in calls if call.outcome.error == AFTER_A_WAIT]
    failed = [error for call in calls if (error := call.outcome.error) not in (None, AT_ONCE, AFTER_A_WAIT)]
    halves = [[call for call in admitted if (call.due < seconds / 2) is first] for first in (True, False)]
    return Phase(
        offered=rate,
        seconds=seconds,
        requests=len(calls),
        admitted=len(admitted),
        refused=len(refused),
        timed_out=len(timed_out),
        failed={str(error): failed.count(error) for error in set(failed)},
        admitted_latency=_latency(admitted),
        admitted_latency_first_half=_latency(halves[0]),
        admitted_latency_second_half=_latency(halves[1]),
        # From when it was sent: what it waited for in this process, which competes for the same cores, is not theirs.
        refusal_latency=Distribution.of([call.ended - call.sent for call in refused]),
        probe_latency=Distribution.of(watch.probes),
        failed_probes=watch.failed_probes,
        memory={name: (_mebibytes(sizes[:10]), _mebibytes(sizes[-10:])) for name, sizes in watch.memory.items()},
    )


def _latency(calls: Sequence[Call[Reply]]) -> Distribution | None:
    return Distribution.of([call.latency for call in calls])


def _mebibytes(sizes: Sequence[int]) -> float:
    return round(max(sizes, default=0) / 2**20, 1)


def _body(number: int) -> bytes:
    question = QUESTIONS[number % len(QUESTIONS)]
    messages = [{"role": "user", "content": question}]
    return json.dumps({"model": MODEL, "messages": messages, "max_tokens": 32}).encode()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just bench-overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of twice the load")
    parser.add_argument("--capacity-seconds", type=float, default=15, help="of finding out what the stack can serve")
    parser.add_argument("--loops", type=int, default=16, help="clients that find it out")
    parser.add_argument("--longest-wait", type=float, default=1.0, help="the router's queue_timeout_seconds")
    parser.add_argument("--probe-port", type=int, default=3999)
    parser.add_argument("--timeout", type=float, default=60, help="seconds that a request may take")
    parser.add_argument("--out", type=Path, default=FIGURES, help="where overload.json goes")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
