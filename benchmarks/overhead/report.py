"""The tables of docs/performance.md, and what they come down to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.load.distribution import Distribution
from benchmarks.overhead.measurement import Measurement
from testing.report import Table, number

GOALS = {"median": 1.0, "p99": 5.0}  # milliseconds that a router may add to a whole reply
GOAL_RATE = 1000.0  # whole replies a second
PROCESSES = ("router", "worker", "client")

_Take = Callable[[Measurement], Distribution | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Milliseconds, each the median over the rounds; `added` is that of the rounds' differences."""

    what: str
    quantile: str
    direct: float
    router: float
    added: float
    goal: float | None


ADDED: Table[Added] = Table(
    {
        "milliseconds": lambda row: f"{row.what}, {row.quantile}",
        "straight to the worker": lambda row: number(row.direct, ".2f"),
        "through the router": lambda row: number(row.router, ".2f"),
        "added": lambda row: number(row.added, ".2f"),
        "goal": lambda row: f"< {row.goal:g}" if row.goal else "",
    }
)


def _quantile(one: Measurement, name: str) -> str:
    return number(getattr(one.latency, name, None))


CLIMB: Table[Measurement] = Table(
    {
        "replies": lambda row: "streamed" if row.stream else "whole",
        "offered/s": lambda row: number(row.offered_rate, ".0f"),
        "completed/s": lambda row: number(row.completed_rate, ".0f"),
        "failed": lambda row: sum(row.failures.values()),
        "median, ms": lambda row: _quantile(row, "median"),
        "p90, ms": lambda row: _quantile(row, "p90"),
        "p99, ms": lambda row: _quantile(row, "p99"),
        "router CPU, µs": lambda row: number(row.cpu.get("router"), ".0f"),
        "others' cores": lambda row: number(row.others, ".2f"),
        "keeps up": lambda row: "yes" if row.keeps_up else "no",
    }
)


def added(compared: Sequence[Measurement]) -> list[Added]:
    """What the router adds to a whole reply, to a stream's first text and to all of a stream."""

    def latency(one: Measurement) -> Distribution | None:
        return one.latency

    def first(one: Measurement) -> Distribution | None:
        return one.first

    return [
        *_added(compared, "whole reply", latency, stream=False, goals=GOALS),
        *_added(compared, "stream, first text", first, stream=True, goals={}),
        *_added(compared, "stream, to its end", latency, stream=True, goals={}),
    ]


def highest_rate(climbed: Sequence[Measurement], *, stream: bool) -> float | None:
    """Requests a second of the highest rate that was kept up with."""
    return max((one.completed_rate for one in climbed if one.keeps_up and one.stream is stream), default=None)


def text_of(compared: Sequence[Measurement], climbed: Sequence[Measurement]) -> str:
    costs = "\n".join(_costs(compared))
    return "\n\n".join([ADDED.whole(added(compared)), costs, CLIMB.whole(climbed), _highest(climbed)])


def record_of(compared: Sequence[Measurement], climbed: Sequence[Measurement]) -> dict[str, Any]:
    return {
        "added": [asdict(row) for row in added(compared)],
        "highest_rates": {
            "whole": highest_rate(climbed, stream=False),
            "streamed": highest_rate(climbed, stream=True),
        },
        "compared": [one.record() for one in compared],
        "climbed": [one.record() for one in climbed],
    }


def _added(
    compared: Sequence[Measurement], what: str, take: _Take, *, stream: bool, goals: Mapping[str, float]
) -> Iterator[Added]:
    straight, routed = (
        [take(one) for one in compared if (one.target, one.stream) == (target, stream)]
        for target in ("direct", "router")
    )
    rounds = [pair for pair in zip(straight, routed, strict=True) if all(pair)]
    for quantile in ("median", "p99"):
        pairs = [(getattr(direct, quantile), getattr(router, quantile)) for direct, router in rounds]
        if pairs:
            yield Added(
                what=what,
                quantile=quantile,
                direct=median(direct for direct, _ in pairs),
                router=median(router for _, router in pairs),
                added=median(router - direct for direct, router in pairs),
                goal=goals.get(quantile),
            )


def _costs(compared: Sequence[Measurement]) -> Iterator[str]:
    if bare := [one.latency for one in compared if one.target == "hello" and one.latency]:
        middle, slow = median(one.median for one in bare), median(one.p99 for one in bare)
        yield f"- The same client and a bare HTTP server: {middle:.2f} ms at the median, {slow:.2f} ms at p99."
    for stream, name in ((False, "whole"), (True, "streamed")):
        if routed := [one.cpu for one in compared if one.target == "router" and one.stream is stream]:
            spent = [f"{process} {median(one[process] for one in routed):.0f}" for process in PROCESSES]
            yield f"- Processor time per {name} reply, µs: {', '.join(spent)}."
    if others := [one.others for one in compared]:
        yield f"- Cores that the machine spent on other work: {median(others):.2f}, at most {max(others):.2f}."


def _highest(climbed: Sequence[Measurement]) -> str:
    told = []
    for stream, name, goal in ((False, "whole", f" (goal: {GOAL_RATE:.0f})"), (True, "streamed", "")):
        rate = highest_rate(climbed, stream=stream)
        told.append(f"{'none' if rate is None else f'{rate:.0f}'} {name}{goal}")
    return f"Replies a second at the highest rate that was kept up with: {', '.join(told)}."
