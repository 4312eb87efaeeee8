"""The canvas as it denoises, drawn in place by rich; what a model or a server says is never its markup."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Self

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from client.cells import BOUNDARY, MASK, SPECIAL, Cell, Look, Row, cells_of, focus_of, rows_of, window
from client.chunks import Chunk
from client.printing import show
from client.progress import Progress, figures

FRAMES_PER_SECOND: Final = 15
LINES_BELOW: Final = 4  # which rows are shown, figures, legend, and where the cursor rests

# Colours of confidence, each from where it begins.
COLOURS: Final = ((0.9, "green"), (0.7, "cyan"), (0.5, "yellow"), (0.3, "magenta"), (0.0, "red"))
STYLES: Final = {
    Look.MASKED: "bright_black",
    Look.BOUNDARY: "bright_blue",
    Look.COMMITTED: "",
    Look.LATEST: "bold reverse",
    Look.BEYOND: "bright_black",
}


def terminal() -> Console:
    """Standard output, which is known to be one; rich leaves colours out where NO_COLOR is set."""
    return Console(force_terminal=True, highlight=False, markup=False, emoji=False)


class Watched:
    """An answer, drawn while it is denoised; in the end its text stands below."""

    def __init__(
        self, prefix: str, block_length: int | None, console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` counts in seconds."""
        self._prefix = prefix
        self._block_length = block_length
        self._console = console
        self._clock = clock
        self._progress = Progress(clock(), clock())
        self._live = Live(
            console=console,
            get_renderable=self._frame,
            refresh_per_second=FRAMES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def add(self, chunk: Chunk) -> None:
        self._progress = self._progress.after(chunk, self._clock())

    def __exit__(self, *_: object) -> None:
        self._live.transient = not self._progress.tokens  # that it waited need not stay
        self._live.stop()
        said = f"{self._prefix}{self._progress.text}"
        show(f"{said}\n" if said else "")

    def _frame(self) -> Group:
        """Of the terminal's size now, and never higher."""
        if not self._progress.tokens:
            return Group(waiting(self._clock() - self._progress.began))
        width, height = self._console.size
        return Group(*frame(self._progress, self._block_length, width, height, coloured=not self._console.no_color))


def waiting(seconds: float) -> Text:
    """Instead of a canvas, as long as there is none: the request may stand in a queue."""
    return _cropped(Text(f"waiting for the first step · {seconds:.0f} s", "dim"))


def frame(
    progress: Progress, block_length: int | None, width: int, height: int, *, coloured: bool = True
) -> Sequence[Text]:
    """The lines that show it; fewer than `height`, so that drawing them never scrolls."""
    rows = rows_of(cells_of(progress, block_length), width, cell_len)
    first, shown = window(rows, max(1, height - LINES_BELOW), focus_of(progress))
    lines = [_line(row) for row in shown]
    if len(shown) < len(rows):
        lines.append(Text(f"rows {first + 1} to {first + len(shown)} of {len(rows)}", "dim"))
    lines += [Text(figures(progress)), _legend(coloured=coloured)]
    return [_cropped(line) for line in lines[: max(1, height - 1)]]


def _line(row: Row) -> Text:
    return Text.assemble(*((cell.text, _style(cell)) for cell in row))


def _style(cell: Cell) -> str:
    return f"{STYLES[cell.look]} {_colour(cell.confidence)}".strip()


def _colour(confidence: float | None) -> str:
    if confidence is None:
        return ""
    return next((colour for least, colour in COLOURS if confidence >= least), "")


def _legend(*, coloured: bool) -> Text:
    legend = Text.assemble((MASK, STYLES[Look.MASKED]), " masked  ", ("last step", STYLES[Look.LATEST]))
    legend.append_tokens([("  ", None), (BOUNDARY, STYLES[Look.BOUNDARY]), (f" block  {SPECIAL} special", None)])
    if coloured:
        legend.append("  confidence")
        for least, colour in COLOURS:
            legend.append(f" ≥{least:.0%}" if least else " less", colour)
    return legend


def _cropped(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line
