"""The canvas as cells, a token each, and the rows of a terminal that they fill."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from client.progress import Progress

MASK: Final = "░"
BEYOND: Final = "·"
BOUNDARY: Final = "│"
SPECIAL: Final = "◇"  # a token that is no text, like that of the end
SPECIAL_NAME: Final = re.compile(r"|<\|[^|]*\|>|</?s>")  # as models name them; one may spell nothing
UNSEEN: Final = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # their pictures
    0x7F: "␡",
    **{code: f"<{code:02X}>" for code in range(0x80, 0xA0)},
}


class Look(Enum):
    MASKED = "masked"
    BOUNDARY = "boundary"
    COMMITTED = "committed"
    LATEST = "latest"  # committed by the last step
    BEYOND = "beyond"  # behind the end of the answer


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    look: Look
    confidence: float | None = None  # of what is committed, where the server told it
    position: int | None = None  # None of a boundary


Row = Sequence[Cell]


def cells_of(progress: Progress, block_length: int | None) -> Iterator[Cell]:
    for position, token in enumerate(progress.tokens):
        if block_length and position and position % block_length == 0:
            yield Cell(BOUNDARY, Look.BOUNDARY)
        if progress.length is not None and position >= progress.length:
            yield Cell(BEYOND, Look.BEYOND, position=position)
        elif token is None:
            yield Cell(MASK, Look.MASKED, position=position)
        else:
            look = Look.LATEST if position in progress.latest else Look.COMMITTED
            yield Cell(visible(token), look, progress.confidences.get(position), position)


def visible(token: str) -> str:
    """Its text, with a stand-in for each control character."""
    return SPECIAL if SPECIAL_NAME.fullmatch(token) else token.translate(UNSEEN)


def rows_of(cells: Iterator[Cell], width: int, measure: Callable[[str], int]) -> Sequence[Row]:
    """None is wider than `width`; `measure` tells how many columns a text takes."""
    rows: list[list[Cell]] = [[]]
    used = 0
    for cell in cells:
        for piece in _pieces(cell, width, measure):
            wide = measure(piece.text)
            if used + wide > width:
                rows.append([])
                used = 0
            rows[-1].append(piece)
            used += wide
    return rows


def window(rows: Sequence[Row], height: int, focus: int) -> tuple[int, Sequence[Row]]:
    """As many rows as `height` allows, around the one with the position `focus`, and which of all is their first."""
    found = next((number for number, row in enumerate(rows) if any(cell.position == focus for cell in row)), 0)
    first = max(0, min(found - height // 2, len(rows) - height))
    return first, rows[first : first + height]


def focus_of(progress: Progress) -> int:
    """The position where something happens: where the last step committed, else the first that is masked."""
    masked = (position for position, token in enumerate(progress.tokens) if token is None)
    return min(progress.latest, default=next(masked, 0))


def _pieces(cell: Cell, width: int, measure: Callable[[str], int]) -> Iterator[Cell]:
    """The cell, cut where it alone is wider than a row."""
    text = cell.text
    while measure(text) > width and len(text) > 1:
        cut = next((end - 1 for end in range(2, len(text)) if measure(text[:end]) > width), len(text) - 1)
        yield replace(cell, text=text[:cut])
        text = text[cut:]
    yield replace(cell, text=text)
