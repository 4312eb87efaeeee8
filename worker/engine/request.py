"""One request on its way through the engine: its canvas, its block, its step, its quota."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

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

    committed: tuple[CommittedToken, ...]
    ready: int
    forward_passes: int
    canvas: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None


Publish = Callable[[Update], object]


@dataclass(slots=True, eq=False)
class Request:
    """The state of one request; only the engine's thread changes it, but for `cancelled`."""

    request_id: str
    prompt: list[int]
    options: DecodingOptions
    mask_token_id: int
    publish: Publish
    report_canvas: bool = False
    cancelled: bool = False
    canvas: Tensor = field(init=False)
    block: int = 0
    step: int = 0
    forward_passes: int = 0
    ready: int = 0
    ended: bool = False
    _blocks: list[tuple[int, int]] = field(init=False)
    _masked_at_start: int = field(init=False)

    def __post_init__(self) -> None:
        masks = [self.mask_token_id] * self.options.gen_length
        self.canvas = torch.tensor(self.prompt + masks)
        self._blocks = block_bounds(self.options.gen_length, self.options.block_length)
        self._start_block(0)

    @property
    def generated(self) -> Tensor:
        """The generated span of the canvas, a view: int64 `[gen_length]`, mask ids included."""
        return self.canvas[len(self.prompt) :]

    @property
    def masked(self) -> Tensor:
        """The masked positions of the active block, counted from its start: int64 `[masked]`."""
        start, end = self._blocks[self.block]
        return (self.generated[start:end] == self.mask_token_id).nonzero().flatten()

    @property
    def block_start(self) -> int:
        """The first generated position of the active block."""
        return self._blocks[self.block][0]

    @property
    def quota(self) -> int:
        """The most positions that the next step may commit."""
        limit = self.options.max_parallel_tokens or self.options.gen_length
        if self.options.threshold is not None:
            return limit
        return min(limit, quota(self._masked_at_start, self._steps_of_block, self.step))

    def commit(self, tokens: tuple[CommittedToken, ...]) -> None:
        """Takes what a step committed, and moves on to the next step that has something to do."""
        self.forward_passes += 1
        for token in tokens:
            self.generated[token.position] = token.id
        self._advance_ready()
        self.step += 1
        if len(self.masked) == 0 and self.block + 1 < len(self._blocks):
            self._start_block(self.block + 1)

    def update(self, committed: tuple[CommittedToken, ...], reason: FinishReason | None = None) -> Update:
        """What to publish after a step, or at the end."""
        canvas = tuple(self.generated.tolist()) if reason or self.report_canvas else ()
        return Update(committed, self.ready, self.forward_passes, canvas, reason)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the request is over; none while it is not."""
        if self.cancelled:
            return FinishReason.CANCELLED
        if self.ended:
            return FinishReason.STOP
        return FinishReason.LENGTH if self.ready == self.options.gen_length else None

    def _start_block(self, block: int) -> None:
        self.block, self.step = block, 0
        self._masked_at_start = len(self.masked)

    @property
    def _steps_of_block(self) -> int:
        return steps_of_block(self.options.steps, len(self._blocks), self.block)

    def _advance_ready(self) -> None:
        """Moves the frontier up to the first mask or, if it comes first, to the end token."""
        for token in self.generated[self.ready :].tolist():
            if token == self.mask_token_id:
                return
            if token in self.options.end_token_ids:
                self.ended = True
                return
            self.ready += 1
