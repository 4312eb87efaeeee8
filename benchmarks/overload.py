"""`python -m benchmarks.overload`, or `just bench-overload`: what a stack does under more load than it can serve.

First closed loops find out how many requests a second it can serve. Then come as many as half of that and, for longer,
twice that, whatever becomes of those before them. Those that are admitted should take no longer as time goes on, those
that are refused should be told so at once, probes should be answered as if nothing were the matter, and memory should
stay what it is.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from benchmarks.load import Call, Distribution, Summary, arrivals, run_open_loop, run_precisely
from testing.folders import DEMO, FIGURES
from testing.openai_client import Clock, Reply, ask, connected
from testing.report import Table, write_record
from testing.stack import running_stack
from textdiffusion.tasks import cancelled

MODEL = "demo"
QUESTIONS = ("Spell river", "Count to 7", "What is the capital of France?", "What is 12 + 7?")
LOOPS = 16
TIMEOUT_SECONDS = 60.0  # of a request
PROBE_SECONDS = 0.1
AT_ONCE, AFTER_A_WAIT = "server_overloaded", "queue_timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Latencies in milliseconds, memory of the router in MiB at the beginning and at the end."""

    name: str
    load: Summary
    refused: int
    timed_out: int
    first_half: Distribution | None
    second_half: Distribution | None
    refusal: Distribution | None
    probe: Distribution | None
    memory: tuple[float, float]


def _quantiles(figures: Distribution | None, *names: str) -> str:
    return ", ".join(f"{getattr(figures, name):,.1f} ms" for name in names) if figures else ""


PHASES: Table[Phase] = Table(
    {
        "load": lambda one: one.name,
        "requests": lambda one: one.load.requests,
        "served": lambda one: one.load.completed,
        "refused at once": lambda one: one.refused,
        "waited in vain": lambda one: one.timed_out,
        "failed in any other way": lambda one: sum(one.load.failures.values()) - one.refused - one.timed_out,
        "latency of those served, first half: median, p99": lambda one: _quantiles(one.first_half, "median", "p99"),
        "second half: median, p99": lambda one: _quantiles(one.second_half, "median", "p99"),
        "refusal: median, p95, p99": lambda one: _quantiles(one.refusal, "median", "p95", "p99"),
        "probe on its own port: median, p99, max": lambda one: _quantiles(one.probe, "median", "p99", "max"),
        "memory of the router at the beginning and the end": lambda one: "{:.0f}, {:.0f} MiB".format(*one.memory),
    }
)


class Stack:
    """A running stack, how to ask it, and the process of its router."""

    def __init__(self, session: aiohttp.ClientSession, url: str, probe_port: int) -> None:
        self._session, self._url = session, f"{url}/chat/completions"
        self._probes = f"http://127.0.0.1:{probe_port}/health"
        everyone = psutil.Process().children(recursive=True)
        self._router = next(process for process in everyone if "router" in process.cmdline())

    async def ask(self, request: int, clock: Clock) -> Reply:
        messages = [{"role": "user", "content": QUESTIONS[request % len(QUESTIONS)]}]
        body = json.dumps({"model": MODEL, "messages": messages, "max_tokens": 32}).encode()
        return await ask(self._session, self._url, body, stream=False, seconds=TIMEOUT_SECONDS, clock=clock)

    async def capacity(self, seconds: float) -> float:
        """Requests a second that are served if a few clients ask one after the other."""
        began = time.perf_counter()
        served = 0

        async def ask_again_and_again() -> None:
            nonlocal served
            while time.perf_counter() - began < seconds:
                reply = await self.ask(served, time.perf_counter)
                if reply.failure not in (None, AT_ONCE, AFTER_A_WAIT):
                    raise RuntimeError(f"the stack fails without load: {reply.failure} {reply.message}")
                served += not reply.failure

        await asyncio.gather(*(ask_again_and_again() for _ in range(LOOPS)))
        return served / (time.perf_counter() - began)

    async def phase(self, name: str, rate: float, seconds: float) -> Phase:
        probes, memory = list[float](), list[int]()
        watching = asyncio.create_task(self._watch(probes, memory))
        calls = await run_open_loop(arrivals(rate, seconds, name), self.ask)
        if watching.done():
            watching.result()  # says why
        await cancelled(watching)
        return summed_up(calls, probes, memory, name, seconds)

    async def _watch(self, probes: list[float], memory: list[int]) -> None:
        """Sees from beside how fast probes are answered, in seconds, and the router's memory, in bytes."""
        while True:
            for path in ("live", "ready"):
                asked = time.perf_counter()
                async with self._session.get(f"{self._probes}/{path}", raise_for_status=True) as response:
                    await response.read()
                probes.append(time.perf_counter() - asked)
            memory.append(self._router.memory_info().rss)
            await asyncio.sleep(PROBE_SECONDS)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    flags = [f"--model={DEMO}", f"--id={MODEL}", "--devices=cpu", "--port=0", "--log-level=warning"]
    flags += [f"--probe-port={arguments.probe_port}", f"--queue-timeout-seconds={arguments.longest_wait}"]
    with running_stack(*flags) as url:
        capacity, phases = run_precisely(_measure(url, arguments))
    write_record(arguments.out / "overload.json", arguments, capacity=capacity, phases=phases)
    print(PHASES.whole(phases, turned=True))


async def _measure(url: str, arguments: argparse.Namespace) -> tuple[float, list[Phase]]:
    async with connected() as session:
        stack = Stack(session, url, arguments.probe_port)
        await stack.capacity(2)  # the first requests of all are slow
        capacity = await stack.capacity(arguments.capacity_seconds)
        half = await stack.phase(f"half of {capacity:.0f}/s", 0.5 * capacity, arguments.seconds / 2)
        return capacity, [half, await stack.phase(f"twice {capacity:.0f}/s", 2 * capacity, arguments.seconds)]


def summed_up(
    calls: Sequence[Call], probes: Sequence[float], memory: Sequence[int], name: str, seconds: float
) -> Phase:
    served = [call for call in calls if not call.reply.failure]
    refused = [call for call in calls if call.reply.failure == AT_ONCE]
    load = Summary.of(calls, seconds)
    return Phase(
        name=f"{name}, {seconds:g} s",
        load=load,
        refused=len(refused),
        timed_out=load.failures.get(AFTER_A_WAIT, 0),
        first_half=Distribution.of([call.latency for call in served if call.due < seconds / 2]),
        second_half=Distribution.of([call.latency for call in served if call.due >= seconds / 2]),
        # From when it was sent: what it waited for in this process, which competes for the same cores, is not theirs.
        refusal=Distribution.of([call.ended - call.sent for call in refused]),
        probe=Distribution.of(probes),
        memory=(_mebibytes(memory[:10]), _mebibytes(memory[-10:])),
    )


def _mebibytes(sizes: Sequence[int]) -> float:
    return round(max(sizes, default=0) / 2**20, 1)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just bench-overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of twice the load")
    parser.add_argument("--capacity-seconds", type=float, default=15, help="of finding out what the stack can serve")
    parser.add_argument("--longest-wait", type=float, default=1.0, help="the router's queue_timeout_seconds")
    parser.add_argument("--probe-port", type=int, default=3999)
    parser.add_argument("--out", type=Path, default=FIGURES, help="where overload.json goes")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
