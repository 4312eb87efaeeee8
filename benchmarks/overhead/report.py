"""The tables and the plot of docs/performance.md, and what they come down to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from benchmarks import plots
from benchmarks.load import Distribution
from benchmarks.overhead.measuring import KEPT_UP_P99, Measurement
from testing.report import Table, number

GOALS = {"median": 1.0, "p99": 5.0}  # milliseconds that a router may add to a whole reply
GOAL_RATE = 1000.0  # whole replies a second
PROCESSES = ("router", "worker", "client")
COLOURS = {"median": "#1f6fb4", "p90": "#e08a1e", "p99": "#c0392b"}


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
CLIMB: Table[Measurement] = Table(
    {
        "replies": lambda row: "streamed" if row.stream else "whole",
        "offered/s": lambda row: number(row.load.offered_rate, ".0f"),
        "completed/s": lambda row: number(row.load.completed_rate, ".0f"),
        "failed": lambda row: sum(row.load.failures.values()),
        "median, ms": lambda row: number(getattr(row.load.latency, "median", None)),
        "p90, ms": lambda row: number(getattr(row.load.latency, "p90", None)),
        "p99, ms": lambda row: number(getattr(row.load.latency, "p99", None)),
        "router CPU, µs": lambda row: number(row.cpu.get("router"), ".0f"),
        "others' cores": lambda row: number(row.others, ".2f"),
        "keeps up": lambda row: "yes" if row.keeps_up else "no",
    }
)


def added(compared: Sequence[Measurement]) -> list[Added]:
    """What the router adds to a whole reply, to a stream's first text and to all of a stream."""
    whole, streamed = ([one for one in compared if one.stream is stream] for stream in (False, True))
    return [
        *_added(whole, "whole reply", lambda one: one.load.latency, GOALS),
        *_added(streamed, "stream, first text", lambda one: one.load.first_text, {}),
        *_added(streamed, "stream, to its end", lambda one: one.load.latency, {}),
    ]


def highest_rate(climbed: Sequence[Measurement], *, stream: bool) -> float | None:
    """Requests a second of the highest rate that was kept up with."""
    return max((one.load.completed_rate for one in climbed if one.keeps_up and one.stream is stream), default=None)


def text_of(compared: Sequence[Measurement], climbed: Sequence[Measurement]) -> str:
    costs = "\n".join(_costs(compared))
    return "\n\n".join([ADDED.whole(added(compared)), costs, CLIMB.whole(climbed), _highest(climbed)])


def record_of(compared: Sequence[Measurement], climbed: Sequence[Measurement]) -> dict[str, Any]:
    return {
        "added": added(compared),
        "highest_rates": {name: highest_rate(climbed, stream=name == "streamed") for name in ("whole", "streamed")},
        "compared": compared,
        "climbed": [asdict(one) | {"keeps_up": one.keeps_up} for one in climbed],
    }


def draw(file: Path, climbed: Sequence[Measurement]) -> None:
    """How latency grows with the rate, up to where the router no longer keeps up."""
    figure, panels = plots.panels(2, sharey=True)
    for panel, stream in zip(panels, (False, True), strict=True):
        last_tries = {one.rate: one for one in climbed if one.stream is stream and one.load.latency}
        _curves(panel, list(last_tries.values()), highest_rate(climbed, stream=stream))
        panel.set_title("streamed replies" if stream else "whole replies", fontsize=10)
        panel.set_xlabel("requests per second")
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panels[0].set_ylabel("latency through the router, ms")
    named = panels[0].get_legend_handles_labels()
    figure.legend(*named, frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    plots.save(figure, file)


def _curves(panel: Axes, climbed: Sequence[Measurement], highest: float | None) -> None:
    """Filled where the rate was kept up with, hollow where not."""
    rates = [one.load.offered_rate for one in climbed]
    for quantile, colour in COLOURS.items():
        latencies = [getattr(one.load.latency, quantile) for one in climbed]
        faces = [colour if one.keeps_up else "white" for one in climbed]
        panel.plot(rates, latencies, color=colour, linewidth=1, label=quantile)
        panel.scatter(rates, latencies, s=16, c=faces, edgecolors=colour, zorder=3)
    panel.axhline(KEPT_UP_P99, color="#9a9a9a", linestyle=":", linewidth=1, label="most that p99 may be")
    if highest is not None:
        panel.axvline(highest, color="#9a9a9a", linewidth=1)
        axes = panel.get_xaxis_transform()
        panel.annotate(f"{highest:.0f}/s", (highest, 0.95), (-4, 0), axes, "offset points", ha="right", size=8)
    panel.set_xlim(left=0)


def _added(
    compared: Sequence[Measurement],
    what: str,
    take: Callable[[Measurement], Distribution | None],
    goals: Mapping[str, float],
) -> Iterator[Added]:
    direct, router = ([take(one) for one in compared if one.target == target] for target in ("direct", "router"))
    rounds = [pair for pair in zip(direct, router, strict=True) if all(pair)]
    for quantile in ("median", "p99"):
        pairs = [(getattr(one, quantile), getattr(other, quantile)) for one, other in rounds]
        if pairs:
            yield Added(
                what=what,
                quantile=quantile,
                direct=median(one for one, _ in pairs),
                router=median(other for _, other in pairs),
                added=median(other - one for one, other in pairs),
                goal=goals.get(quantile),
            )


def _costs(compared: Sequence[Measurement]) -> Iterator[str]:
    if bare := [one.load.latency for one in compared if one.target == "hello" and one.load.latency]:
        middle, slow = median(one.median for one in bare), median(one.p99 for one in bare)
        yield f"- The same client and a bare HTTP server: {middle:.2f} ms at the median, {slow:.2f} ms at p99."
    for stream, name in ((False, "whole"), (True, "streamed")):
        routed = [one.cpu for one in compared if one.target == "router" and one.stream is stream]
        spent = [f"{process} {median(one[process] for one in routed):.0f}" for process in PROCESSES]
        yield f"- Processor time per {name} reply, µs: {', '.join(spent)}."
    others = [one.others for one in compared]
    yield f"- Cores that the machine spent on other work: {median(others):.2f}, at most {max(others):.2f}."


def _highest(climbed: Sequence[Measurement]) -> str:
    told = []
    for stream, name, goal in ((False, "whole", f" (goal: {GOAL_RATE:.0f})"), (True, "streamed", "")):
        rate = highest_rate(climbed, stream=stream)
        told.append(f"{'none' if rate is None else f'{rate:.0f}'} {name}{goal}")
    return f"Replies a second at the highest rate that was kept up with: {', '.join(told)}."
