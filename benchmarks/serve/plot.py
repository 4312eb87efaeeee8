"""The picture of a run: how many requests were how fast, and when the slow ones were."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import picture
from benchmarks.serve.summary import Calls, first_tokens

COLOURS = {"time to first token": "#e08a1e", "end-to-end latency": "#1f6fb4", "failed": "#c0392b"}


def draw(file: Path, calls: Calls, title: str) -> None:
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    ordered, over_time = figure.subplots(1, 2)
    completed = [(call.due, call.latency) for call in calls if not call.outcome.error]
    failed = [(call.due, call.latency) for call in calls if call.outcome.error]
    for name, points in (("time to first token", first_tokens(calls)), ("end-to-end latency", completed)):
        if points:
            _shares(ordered, name, sorted(seconds for _, seconds in points))
            _scatter(over_time, name, points, ".")
    if failed:
        _scatter(over_time, "failed", failed, "x")
    ordered.set_xlabel("seconds")
    ordered.set_ylabel("completed requests, %")
    ordered.set_ylim(0, 100)
    over_time.set_xlabel("due, seconds after the beginning")
    over_time.set_ylabel("seconds")
    over_time.set_ylim(bottom=0)
    for panel in (ordered, over_time):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    if calls:
        figure.legend(
            *over_time.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=3
        )
    figure.suptitle(title, fontsize=10)
    picture.save(figure, file)


def _shares(panel: Axes, name: str, seconds: Sequence[float]) -> None:
    shares = [100 * rank / len(seconds) for rank in range(1, len(seconds) + 1)]
    panel.step(seconds, shares, where="post", color=COLOURS[name])


def _scatter(panel: Axes, name: str, points: Sequence[tuple[float, float]], marker: str) -> None:
    dues, seconds = zip(*points, strict=True)
    panel.scatter(dues, seconds, s=8, marker=marker, linewidths=0.8, color=COLOURS[name], label=name)
