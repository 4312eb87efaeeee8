"""One request on its way through the engine: its canvas, its block, its step, its quota, its slot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from worker.decoding.confidence import Remasking
from worker.decoding.schedule import block_bounds, quota, steps_of_block
from worker.engine.kv_cache import NO_SLOT, Slot

Positions = NDArray[np.int64]


class KvCache(Enum):
    """What is kept of a block's first forward pass, which runs over the whole canvas, for its later ones."""

    NONE = "none"
    PREFIX = "prefix"  # keys and values before the block; later passes run block and all behind it
    DUAL = "dual"  # those behind the block too; later passes run the block alone


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
    cfg_scale: float = 0.0
    remasking: Remasking = Remasking.LOW_CONFIDENCE
    kv_cache: KvCache = KvCache.NONE
    threshold: float | None = None
    factor: float | None = None
    max_parallel_tokens: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int = 0
    end_token_ids: frozenset[int] = frozenset()


class FinishReason(Enum):
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural log of its probability."""

    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class CommittedToken:
    """A generated position that a step filled in for good; `step` is the request's forward pass, from 1."""

    position: int
    id: int
    logprob: float
    step: int
    top: Sequence[TokenLogprob] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """What one step did to one request; the last one commits nothing and says why it is the last.

    `ready` positions from the first are there for good; `committed_tokens` counts those of all steps so far, behind an
    end token too. `canvas` is the generated span, in the last update and where the request wants to see it. `failure`
    says what went wrong.
    """

    committed: Sequence[CommittedToken]
    ready: int
    forward_passes: int
    committed_tokens: int
    canvas: Sequence[int] = ()
    finish_reason: FinishReason | None = None
    failure: str = ""


Publish = Callable[[Update], object]


@dataclass(slots=True, eq=False)
class Request:
    """The state of one request; only the engine's thread changes it, but for `cancelled`.

    The first row of `canvases` is prompt, generated span and suffix; with guidance, the second is its unconditional
    twin, in which all that is given is masked. `masked` holds the positions of the active block that are still masked,
    counted like `ready` from the first generated one.
    """

    request_id: str
    prompt: Sequence[int]
    suffix: Sequence[int]
    options: DecodingOptions
    mask_token_id: int
    publish: Publish
    report_canvas: bool = False
    cancelled: bool = False
    failure: str = ""
    block: int = 0
    step: int = 0
    forward_passes: int = 0
    committed_tokens: int = 0
    ready: int = 0
    last_scheduled: int = 0
    slot: Slot = NO_SLOT
    canvases: Positions = field(init=False)
    masked: Positions = field(init=False)
    _blocks: list[tuple[int, int]] = field(init=False)
    _masked_at_start: int = field(init=False)
    _stops: Positions = field(init=False)

    def __post_init__(self) -> None:
        masks = [self.mask_token_id] * self.options.gen_length
        canvas = np.array([*self.prompt, *masks, *self.suffix], dtype=np.int64)
        twins = [np.full_like(canvas, self.mask_token_id)] if self.options.cfg_scale else []
        self.canvases = np.stack([canvas, *twins])
        self._blocks = block_bounds(self.options.gen_length, self.options.block_length)
        self._stops = np.array([*self.options.end_token_ids, self.mask_token_id], dtype=np.int64)
        self._start_block(0)

    @property
    def length(self) -> int:
        """Positions of the whole canvas."""
        return len(self.canvases[0])

    @property
    def generated(self) -> Positions:
        """The generated span, masks included."""
        return self.canvases[0, len(self.prompt) :][: self.options.gen_length]

    @property
    def runs_whole(self) -> bool:
        """Whether the next pass runs over the whole canvas: a block's first one, or any without a cache."""
        return self.step == 0 or self.options.kv_cache is KvCache.NONE

    @property
    def span(self) -> tuple[int, int]:
        """Start and end of the canvas positions that the next pass runs over."""
        if self.runs_whole:
            return 0, self.length
        start, end = (len(self.prompt) + bound for bound in self._blocks[self.block])
        return start, self.length if self.options.kv_cache is KvCache.PREFIX else end

    @property
    def rows(self) -> int:
        """Rows that the next pass adds to its batch."""
        start, end = self.span
        return len(self.canvases) * (end - start)

    @property
    def most_cached_rows(self) -> int:
        """The most rows of any pass that reuses keys and values: those of the first block."""
        if self.options.kv_cache is KvCache.NONE:
            return 0
        whole = self.options.kv_cache is KvCache.PREFIX
        return len(self.canvases) * (self.length - len(self.prompt) if whole else self._blocks[0][1])

    @property
    def quota(self) -> int:
        """The most positions that the next step may commit."""
        limit = self.options.max_parallel_tokens or self.options.gen_length
        if self.options.threshold is not None or self.options.factor is not None:
            return limit
        steps = steps_of_block(self.options.steps, len(self._blocks), self.block)
        return min(limit, quota(self._masked_at_start, steps, self.step))

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the request is over; none while it is not."""
        if self.failure:
            return FinishReason.FAILED
        if self.cancelled:
            return FinishReason.CANCELLED
        if self.ready == self.options.gen_length:
            return FinishReason.LENGTH
        return FinishReason.STOP if self.generated[self.ready] in self.options.end_token_ids else None

    def commit(self, tokens: Sequence[CommittedToken]) -> Update:
        """Takes what a step committed, and moves on to the next step that has something to do."""
        self.forward_passes += 1
        self.committed_tokens += len(tokens)
        self.step += 1
        # Every step commits something, unless the logits are not numbers; then no step ever would.
        if not tokens:
            self.failure = "the model's logits are not numbers"
        positions = [token.position for token in tokens]
        self.canvases[:, len(self.prompt) + np.array(positions, dtype=np.int64)] = [token.id for token in tokens]
        self.masked = self.masked[self.generated[self.masked] == self.mask_token_id]
        self._advance_ready()
        if not len(self.masked) and self.block + 1 < len(self._blocks):
            self._start_block(self.block + 1)
        return self.update(tokens)

    def update(self, committed: Sequence[CommittedToken] = (), reason: FinishReason | None = None) -> Update:
        """What to publish after a step, or at the end."""
        canvas = tuple(self.generated.tolist()) if reason or self.report_canvas else ()
        failure = self.failure if reason else ""
        return Update(committed, self.ready, self.forward_passes, self.committed_tokens, canvas, reason, failure)

    def _start_block(self, block: int) -> None:
        self.block, self.step = block, 0
        self.masked = np.arange(*self._blocks[block])
        self._masked_at_start = len(self.masked)

    def _advance_ready(self) -> None:
        """Moves the frontier up to the first mask or, if it comes first, to the end token."""
        stops = np.isin(self.generated[self.ready :], self._stops)
        self.ready += int(stops.argmax()) if stops.any() else len(stops)
