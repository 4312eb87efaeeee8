"""What a family of models says about its canvases: which pass is next, and what it may commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from worker.canvas.canvas import Canvas, Positions


@dataclass(frozen=True, slots=True)
class Segment:
    """Positions `start` to `end` of a canvas, computed in one pass, attending to keys 0 to `context_end`.

    `stream` 1 is the unconditional twin of guidance.
    """

    start: int
    end: int
    context_end: int
    stream: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRule:
    """How many of a pass's candidates are committed, the surest first.

    As many as pass, but no fewer than `least` and no more than `most`; `sequential` ones from left to right, up to the
    first that does not pass, and not the surest first. A candidate passes at or above `threshold`
    (Fast-dLLM's rule); with `factor` the first n pass, n the largest for which (n + 1)(1 - confidence of the nth) is
    below it (Theorem 1 of the Fast-dLLM paper). Without either none passes.
    """

    least: int
    most: int
    threshold: float | None = None
    factor: float | None = None
    sequential: bool = False


@dataclass(frozen=True, slots=True)
class Boost:
    """What is added to the logit of one token at one position before anything is decided."""

    position: int
    token_id: int
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one sequence brings to one step.

    `candidates` are the positions that may be committed, and `boost` lies at one of them. A `refresh` computes the
    whole canvas, and the scheduler bounds how many of them share a step; a `cached` pass is short, and joins every
    step.
    """

    segments: Sequence[Segment]
    candidates: Positions
    rule: CommitRule
    cost: Literal["refresh", "cached"]
    boost: Boost | None = None

    @property
    def rows(self) -> int:
        return sum(segment.end - segment.start for segment in self.segments)


class CanvasPolicy(Protocol):
    """Leads one canvas from its masks to its end. It keeps the state of one sequence."""

    def next_pass(self, canvas: Canvas) -> Pass:
        """Return the pass that comes next; the canvas is neither full nor ended."""
        ...

    def apply(self, canvas: Canvas, positions: Positions, token_ids: Sequence[int]) -> None:
        """Write what the pass committed, and move on."""
        ...

    def reserved_positions(self, canvas: Canvas) -> int:
        """Return the positions whose keys and values the canvas may come to need, all streams together."""
        ...

    def max_cached_rows(self, canvas: Canvas) -> int:
        """Return the most rows that any cached pass of the canvas has."""
        ...
