"""The two pictures: how fast, and what the speed costs."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from benchmarks import picture
from benchmarks.cell import Cell
from benchmarks.quality import Point

COLOURS = {"none": "#9a9a9a", "prefix": "#e08a1e", "dual": "#1f6fb4"}
MARKERS = {"none": "o", "prefix": "s", "dual": "^"}
# Percent that the axis of accuracies shows at least, lest the noise of a flat curve look like a slope.
MIN_SPAN = 5
LABEL_PIXELS = 45


def speed(file: Path, cells: Sequence[Cell]) -> None:
    """Tokens a second of one shape over concurrent requests: a panel a rule, a bar a cache."""
    rules = list(dict.fromkeys(cell.rule for cell in cells))
    figure = Figure(figsize=(8, 3.9), layout="constrained")
    panels = figure.subplots(1, len(rules), squeeze=False)[0]
    for panel, rule in zip(panels, rules, strict=True):
        _bars(panel, [cell for cell in cells if cell.rule == rule])
        panel.set_title(f"{cells[0].shape}, {cells[0].dtype}, {rule}", fontsize=10)
        panel.set_xlabel("concurrent requests")
        panel.set_ylabel("tokens per second")
    figure.legend(handles=_legend(cells), frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    picture.save(figure, file)


def quality(file: Path, points: Sequence[Point]) -> None:
    """Accuracy over forward passes: a panel a rule, a line a cache, the settings under the points."""
    rules = list(dict.fromkeys(point.rule for point in points))
    figure = Figure(figsize=(8, 3.2), layout="constrained", dpi=picture.DOTS_PER_INCH)
    panels = figure.subplots(1, len(rules), squeeze=False, sharex=True, sharey=True)[0]
    lowest = math.floor(min(100 * point.accuracy for point in points)) - 1
    panels[0].set_ylim(min(lowest, 100 - MIN_SPAN), 100.5)
    panels[0].set_xscale("log", base=2)
    fewest, *_, most = sorted(point.forward_passes for point in points)
    panels[0].set_xlim(fewest / 2, most * 2)
    panels[0].set_xticks([2**power for power in range(math.floor(math.log2(fewest)), math.ceil(math.log2(most)) + 1)])
    panels[0].set_ylabel("right replies, %")
    for panel, rule in zip(panels, rules, strict=True):
        _curves(panel, [point for point in points if point.rule == rule])
        panel.set_title(rule, fontsize=10)
        panel.set_xlabel("forward passes per request", fontsize=9)
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.grid(alpha=0.25)
    panels[-1].legend(frameon=False, fontsize=8, loc="lower right", title="cache", title_fontsize=8)
    figure.draw_without_rendering()
    for panel, rule in zip(panels, rules, strict=True):
        _annotate(panel, [point for point in points if point.rule == rule])
    picture.save(figure, file)


def _bars(panel: Axes, cells: Sequence[Cell]) -> None:
    caches = list(dict.fromkeys(cell.cache for cell in cells))
    groups = sorted({cell.concurrent for cell in cells})
    width = 0.84 / len(caches)
    for cell in cells:
        place = groups.index(cell.concurrent) + (caches.index(cell.cache) - (len(caches) - 1) / 2) * width
        colour = COLOURS[cell.cache]
        panel.bar(place, cell.limit, 0.9 * width, fill=False, edgecolor=colour)
        panel.bar(place, cell.engine_rate, 0.9 * width, color=colour)
        top = (place, max(cell.limit, cell.engine_rate))
        text = f"{cell.engine_rate:.0f}\n{cell.of_limit:.0%}"
        panel.annotate(text, top, (0, 2), textcoords="offset points", ha="center", size=7)
        if cell.http_rate:
            panel.plot(place, cell.http_rate, "o", color="white", markeredgecolor="black", markersize=4)
        if cell.oracle:
            panel.plot([place - 0.45 * width, place + 0.45 * width], [cell.oracle] * 2, color="black", linewidth=1.5)
    panel.margins(y=0.13)
    panel.set_xticks(range(len(groups)), [str(number) for number in groups])
    panel.spines[["top", "right"]].set_visible(False)


def _legend(cells: Sequence[Cell]) -> list[Patch | Line2D]:
    caches = dict.fromkeys(cell.cache for cell in cells)
    entries: list[Patch | Line2D] = [Patch(color=COLOURS[cache], label=f"engine, cache {cache}") for cache in caches]
    entries.append(Patch(fill=False, label="limit of the arithmetic, and % of it"))
    if any(cell.http for cell in cells):
        dot = Line2D([], [], marker="o", color="white", markeredgecolor="black", markersize=4, label="over HTTP")
        entries.append(dot)
    if any(cell.oracle for cell in cells):
        entries.append(Line2D([], [], color="black", linewidth=1.5, label="oracle, one request"))
    return entries


def _curves(panel: Axes, points: Sequence[Point]) -> None:
    for cache in dict.fromkeys(point.cache for point in points):
        line = [point for point in points if point.cache == cache]
        passes = [point.forward_passes for point in line]
        accuracies = [100 * point.accuracy for point in line]
        panel.plot(passes, accuracies, color=COLOURS[cache], marker=MARKERS[cache], markersize=4, label=cache)


def _annotate(panel: Axes, points: Sequence[Point]) -> None:
    """Writes each setting under its points, those together whose points nearly coincide."""
    groups: list[list[Point]] = []
    edge = -math.inf
    for point in sorted(points, key=lambda point: point.forward_passes):
        pixel, _ = panel.transData.transform((point.forward_passes, 100 * point.accuracy))
        if pixel > edge:
            groups.append([])
            edge = pixel + LABEL_PIXELS
        groups[-1].append(point)
    for group in groups:
        values = sorted({point.value for point in group})
        text = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
        place = (mean(point.forward_passes for point in group), min(100 * point.accuracy for point in group))
        panel.annotate(text, place, (0, -13), textcoords="offset points", ha="center", size=7)
