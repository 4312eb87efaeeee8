"""How every plot is made: its size, its style, its file."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOTS_PER_INCH = 200
CACHES = {"none": "#9a9a9a", "prefix": "#e08a1e", "dual": "#1f6fb4"}


def panels(count: int, height: float = 3.3, *, sharex: bool = False, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels side by side."""
    figure = Figure(figsize=(8, height), layout="constrained", dpi=DOTS_PER_INCH)
    axes = list(figure.subplots(1, count, squeeze=False, sharex=sharex, sharey=sharey)[0])
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
        panel.set_axisbelow(True)
    return figure, axes


def save(figure: Figure, file: Path) -> None:
    """Writes a PNG, and the folder for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
