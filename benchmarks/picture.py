"""How every picture is written."""

from pathlib import Path

from matplotlib.figure import Figure

DOTS_PER_INCH = 200


def save(figure: Figure, file: Path) -> None:
    """Writes a PNG, and the folder for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DOTS_PER_INCH)
