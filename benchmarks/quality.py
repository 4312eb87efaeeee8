"""What a setting costs in accuracy: the demo model's tasks over thresholds, factors, steps and caches.

The conversations are held out, and the same for every setting; a reply counts if it is exactly the expected one.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from benchmarks import plots
from benchmarks.shapes import SHAPES, Rule
from testing.folders import DEMO
from testing.report import Table, number
from training.conversations import TASKS, Writer
from training.evaluate import Examiner
from worker.sampling_params import CacheMode

RULES = (
    *(Rule("threshold", value) for value in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)),
    *(Rule("factor", value) for value in (0.1, 0.25, 0.5, 1, 2)),
    *(Rule("steps", value) for value in (128, 64, 32, 16, 8)),
)
MARKERS = {"none": "o", "prefix": "s", "dual": "^"}
# Percent that the axis of accuracies shows at least, lest the noise of a flat curve look like a slope.
MIN_SPAN = 5
MIN_DISTANCE = 1.5  # of the passes of two points that are told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting: the share of right replies, of all and by task, and the forward passes that a reply took."""

    cache: str
    rule: str
    value: float
    accuracy: float
    forward_passes: float
    tasks: Mapping[str, float]


QUALITY: Table[Point] = Table(
    {
        "cache": lambda point: point.cache,
        "rule": lambda point: f"{point.rule} {point.value:g}",
        "accuracy": lambda point: number(point.accuracy, ".1%"),
        "forward passes per request": lambda point: number(point.forward_passes),
    }
)


def measure(device: torch.device, dtype: str, caches: Sequence[CacheMode], conversations: int) -> Iterator[Point]:
    """A point for each cache and rule, from so many conversations per task."""
    examiner = Examiner(DEMO, dtype, str(device))
    writers = {task: Writer(random.Random(f"7 {task}"), held_out=True) for task in TASKS}  # noqa: S311 - repeatable
    asked = {task: [writer.conversation(task) for _ in range(conversations)] for task, writer in writers.items()}
    end_tokens = frozenset(examiner.engine.model.spec.eos_token_ids)
    examiner.engine.start()
    try:
        for cache, rule in product(caches, RULES):
            options = replace(SHAPES["demo"].options(cache, rule), end_token_ids=end_tokens)
            scores = {task: examiner.score(of_task, options) for task, of_task in asked.items()}
            yield Point(
                cache=cache.value,
                rule=rule.kind,
                value=rule.value,
                accuracy=mean(score.exact for score in scores.values()),
                forward_passes=mean(score.passes for score in scores.values()),
                tasks={task: score.exact for task, score in scores.items()},
            )
    finally:
        examiner.engine.stop()


def draw(file: Path, points: Sequence[Point]) -> None:
    """Accuracy over forward passes: a panel a rule, a line a cache, and the settings at its ends."""
    rules = list(dict.fromkeys(point.rule for point in points))
    figure, panels = plots.panels(len(rules), sharex=True, sharey=True)
    lowest = math.floor(min(100 * point.accuracy for point in points)) - 1
    panels[0].set_ylim(min(lowest, 100 - MIN_SPAN), 100.5)
    panels[0].set_xscale("log", base=2)
    panels[0].set_ylabel("right replies, %")
    for panel, rule in zip(panels, rules, strict=True):
        _curves(panel, [point for point in points if point.rule == rule])
        panel.set_title(rule, fontsize=10)
        panel.set_xlabel("forward passes per request", fontsize=9)
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panels[-1].legend(frameon=False, fontsize=8, loc="lower right", title="cache", title_fontsize=8)
    plots.save(figure, file)


def _curves(panel: Axes, points: Sequence[Point]) -> None:
    in_order = sorted(points, key=lambda point: point.forward_passes)
    for cache in dict.fromkeys(point.cache for point in points):
        line = [(point.forward_passes, 100 * point.accuracy) for point in in_order if point.cache == cache]
        panel.plot(
            *zip(*line, strict=True), color=plots.CACHES[cache], marker=MARKERS[cache], markersize=4, label=cache
        )
    first, last = in_order[0], in_order[-1]
    ends = [(first, f"{first.value:g}"), (last, f"{last.value:g}")]
    if last.forward_passes < MIN_DISTANCE * first.forward_passes:
        ends = [(first, f"{first.value:g} to {last.value:g}")]
    for point, text in ends:
        place = (point.forward_passes, 100 * point.accuracy)
        panel.annotate(text, place, (0, -13), textcoords="offset points", ha="center", size=7)
