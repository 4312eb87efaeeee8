"""The picture: how latency grows with the rate, up to where the router no longer keeps up."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks import picture
from benchmarks.overhead.measurement import KEPT_UP_P99, Measurement
from benchmarks.overhead.report import highest_rate

QUANTILES = {"median": "#1f6fb4", "p90": "#e08a1e", "p99": "#c0392b"}


def draw(file: Path, climbed: Sequence[Measurement]) -> None:
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, stream in zip(panels, (False, True), strict=True):
        last_tries = {one.rate: one for one in climbed if one.stream is stream}
        _curves(panel, list(last_tries.values()), highest_rate(climbed, stream=stream))
        panel.set_title("streamed replies" if stream else "whole replies", fontsize=10)
        panel.set_xlabel("requests per second")
    panels[0].set_ylabel("latency through the router, ms")
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    named = panels[0].get_legend_handles_labels()
    figure.legend(*named, frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    picture.save(figure, file)


def _curves(panel: Axes, climbed: Sequence[Measurement], highest: float | None) -> None:
    """Filled where the rate was kept up with, hollow where not."""
    for quantile, colour in QUANTILES.items():
        rates = [one.offered_rate for one in climbed if one.latency]
        latencies = [getattr(one.latency, quantile) for one in climbed if one.latency]
        faces = [colour if one.keeps_up else "white" for one in climbed if one.latency]
        panel.plot(rates, latencies, color=colour, linewidth=1, label=quantile)
        panel.scatter(rates, latencies, s=16, c=faces, edgecolors=colour, zorder=3)
    panel.axhline(KEPT_UP_P99, color="#9a9a9a", linestyle=":", linewidth=1, label="most that p99 may be")
    if highest is not None:
        panel.axvline(highest, color="#9a9a9a", linewidth=1)
        axes = panel.get_xaxis_transform()
        panel.annotate(f"{highest:.0f}/s", (highest, 0.95), (-4, 0), axes, "offset points", ha="right", size=8)
    panel.set_xlim(left=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25)
