"""Puts the load on the ways to the worker, in turns, and on the router until it no longer keeps up."""

import gc
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psutil

from benchmarks.load.arrivals import arrivals
from benchmarks.load.open_loop import Clock, OpenLoop
from benchmarks.overhead.callers import Answer, Caller, direct, over_http
from benchmarks.overhead.measurement import Measurement, measurement_of
from benchmarks.overhead.processes import Processes
from benchmarks.prompts import prompts_of
from testing.folders import DEMO

PROMPTS = 64  # that take turns
WARM_UP_SECONDS = 2.0
TRIES = 2  # at a rate before the router counts as too slow for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Of requests and replies, in tokens."""

    prompt_tokens: int
    reply_tokens: int
    updates: int


class Bench:
    """The ways to the worker, held open so that connections are kept alive."""

    def __init__(self, callers: Mapping[str, Caller], processes: Processes, shape: Shape) -> None:
        self._callers = callers
        self._still_running = processes.check
        ids = {**processes.ids, "client": os.getpid()}
        self._processes = {name: psutil.Process(number) for name, number in ids.items()}
        self._shape = shape

    async def check(self) -> None:
        """Raises `RuntimeError` unless all ways lead to the same reply."""
        for target, stream in (("direct", False), ("direct", True), ("router", False), ("router", True)):
            answer = await self._callers[target].ask(0, lambda: 0.0, stream=stream)
            if answer.error or answer.tokens != self._shape.reply_tokens or (answer.first is None) == stream:
                raise RuntimeError(f"{target} gives no reply of {self._shape.reply_tokens} tokens, but {answer}")

    async def measure(self, target: str, rate: float, seconds: float, *, stream: bool, seed: int) -> Measurement:
        """At so many requests a second, after a warm-up that does not count."""
        await self._load(target, rate, WARM_UP_SECONDS, stream, seed=-1 - seed).run()
        load = self._load(target, rate, seconds, stream, seed)
        # What is there by now stays; collecting it again and again would stop the clock of everyone who waits.
        gc.collect()
        gc.freeze()
        before, busy_before = self._cpu_seconds(), _busy_seconds()
        calls = await load.run()
        self._still_running()
        spent = {name: after - before[name] for name, after in self._cpu_seconds().items()}
        busy = _busy_seconds() - busy_before
        return measurement_of(
            calls, target=target, stream=stream, rate=rate, seconds=seconds, cpu_seconds=spent, busy_seconds=busy
        )

    def _load(self, target: str, rate: float, seconds: float, stream: bool, seed: int) -> OpenLoop[Answer]:
        caller = self._callers[target]

        async def ask(number: int, clock: Clock) -> Answer:
            return await caller.ask(number, clock, stream=stream)

        return OpenLoop(arrivals(rate, random.Random(seed), seconds=seconds), ask)  # noqa: S311 - the same for all

    def _cpu_seconds(self) -> dict[str, float]:
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: spent.user + spent.system for name, spent in times.items()}


@asynccontextmanager
async def opened(processes: Processes, shape: Shape) -> AsyncIterator[Bench]:
    prompts = prompts_of(DEMO, shape.prompt_tokens, PROMPTS)
    async with AsyncExitStack() as stack:
        callers: dict[str, Caller] = {
            "direct": await stack.enter_async_context(direct(processes.worker, prompts, shape.reply_tokens)),
            "router": await stack.enter_async_context(over_http(processes.router, prompts, shape.reply_tokens)),
            "hello": await stack.enter_async_context(over_http(processes.hello, prompts, shape.reply_tokens)),
        }
        yield Bench(callers, processes, shape)


async def compare(bench: Bench, rate: float, seconds: float, rounds: int) -> AsyncIterator[Measurement]:
    """All ways at one rate, in turns, for a machine's speed drifts; the requests of a round are due alike."""
    for number in range(rounds):
        for target, stream in _ways():
            yield await bench.measure(target, rate, seconds, stream=stream, seed=number)


async def climb(bench: Bench, rates: Sequence[float], seconds: float, *, stream: bool) -> AsyncIterator[Measurement]:
    """The router at rising rates, up to the first that it does not keep up with in either of two tries."""
    for rate in rates:
        for attempt in range(TRIES):
            measured = await bench.measure("router", rate, seconds, stream=stream, seed=attempt)
            yield measured
            if measured.keeps_up:
                break
        else:
            return


def _busy_seconds() -> float:
    """Of all cores together, what a hypervisor took for others among them."""
    times = psutil.cpu_times()._asdict()
    return float(sum(times.get(name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))


def _ways() -> Iterator[tuple[str, bool]]:
    yield from (("direct", False), ("router", False), ("hello", False), ("direct", True), ("router", True))
