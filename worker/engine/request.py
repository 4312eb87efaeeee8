"""One request on its way through the engine: its canvas, its block, its step, its quota."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from worker.decoding.schedule import block_bounds, quota, steps_of_block


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingOptions:
    """How one request is denoised; every value is settled."""

    gen_length: int
    block_length: int
    steps: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    random_remasking: bool = False
    threshold: float | None = None
    max_parallel_tokens: int | None = None
    end_token_ids: frozenset[int] = frozenset()


class FinishReason(Enum):
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CommittedToken:
    """A generated position that a step filled in for good; `step` is the request's forward pass, from 1."""

    position: int
    id: int
    logprob: float
    step: int


@dataclass(frozen=True, slots=True)
class Update:
    """What one step did to one request; the last one commits nothing and says why it is the last.

    `ready` positions from the first are there for good; `canvas` is the generated span, in the last update and where
    the request wants to see it.
    """

    committed: Sequence[CommittedToken]
    ready: int
    forward_passes: int
    canvas: Sequence[int] = ()
    finish_reason: FinishReason | None = None


Publish = Callable[[Update], object]


@dataclass(slots=True, eq=False)
class Request:
    """The state of one request; only the engine's thread changes it, but for `cancelled`.

    Positions are counted from the first generated one. `masked` holds those of the active block that are still masked.
    """

    request_id: str
    prompt: Sequence[int]
    options: DecodingOptions
    mask_token_id: int
    publish: Publish
    report_canvas: bool = False
    cancelled: bool = False
    failed: bool = False
    block: int = 0
    step: int = 0
    forward_passes: int = 0
    ready: int = 0
    generated: list[int] = field(init=False)
    masked: list[int] = field(init=False)
    _blocks: list[tuple[int, int]] = field(init=False)
    _masked_at_start: int = field(init=False)

    def __post_init__(self) -> None:
        self.generated = [self.mask_token_id] * self.options.gen_length
        self._blocks = block_bounds(self.options.gen_length, self.options.block_length)
        self._start_block(0)

    @property
    def length(self) -> int:
        """Positions of the whole canvas."""
        return len(self.prompt) + len(self.generated)

    @property
    def quota(self) -> int:
        """The most positions that the next step may commit."""
        limit = self.options.max_parallel_tokens or self.options.gen_length
        if self.options.threshold is not None:
            return limit
        steps = steps_of_block(self.options.steps, len(self._blocks), self.block)
        return min(limit, quota(self._masked_at_start, steps, self.step))

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the request is over; none while it is not."""
        if self.failed:
            return FinishReason.FAILED
        if self.cancelled:
            return FinishReason.CANCELLED
        if self.ready == self.options.gen_length:
            return FinishReason.LENGTH
        return FinishReason.STOP if self.generated[self.ready] in self.options.end_token_ids else None

    def commit(self, tokens: Sequence[CommittedToken]) -> None:
        """Takes what a step committed, and moves on to the next step that has something to do."""
        self.forward_passes += 1
        self.step += 1
        # Every step commits something, unless the logits are not numbers; then no step ever would.
        self.failed = not tokens
        for token in tokens:
            self.generated[token.position] = token.id
        self.masked = [position for position in self.masked if self.generated[position] == self.mask_token_id]
        self._advance_ready()
        if not self.masked and self.block + 1 < len(self._blocks):
            self._start_block(self.block + 1)

    def update(self, committed: Sequence[CommittedToken], reason: FinishReason | None = None) -> Update:
        """What to publish after a step, or at the end."""
        canvas = tuple(self.generated) if reason or self.report_canvas else ()
        return Update(committed, self.ready, self.forward_passes, canvas, reason)

    def _start_block(self, block: int) -> None:
        self.block, self.step = block, 0
        self.masked = list(range(*self._blocks[block]))
        self._masked_at_start = len(self.masked)

    def _advance_ready(self) -> None:
        """Moves the frontier up to the first mask or, if it comes first, to the end token."""
        stops = self.options.end_token_ids | {self.mask_token_id}
        while self.ready < len(self.generated) and self.generated[self.ready] not in stops:
            self.ready += 1
