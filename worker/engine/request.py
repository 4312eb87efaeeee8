"""One request on its way through the engine: its canvas, its policy, its keys and values, its counters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from worker.canvas.canvas import Canvas
from worker.canvas.policy import CanvasPolicy, Pass
from worker.canvas.semi_autoregressive import SemiAutoregressive
from worker.kvcache.arena import NO_RESERVATION, Reservation
from worker.sampling_params import CanvasMode, SamplingParams


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


class Request:
    """The state of one request; only the engine's thread changes it, but for `cancelled`."""

    def __init__(
        self,
        request_id: str,
        canvas: Canvas,
        policy: CanvasPolicy,
        params: SamplingParams,
        publish: Publish,
        *,
        report_canvas: bool = False,
    ) -> None:
        self.request_id = request_id
        self.canvas = canvas
        self.params = params
        self.publish = publish
        self.cancelled = False
        self.failure = ""
        self.forward_passes = 0
        self.committed_tokens = 0
        self.last_scheduled = 0
        self.reservation: Reservation = NO_RESERVATION
        self.reserved_positions = policy.reserved_positions(canvas)
        self.max_cached_rows = policy.max_cached_rows(canvas)
        self.next_pass: Pass = policy.next_pass(canvas)
        self._policy = policy
        self._report_canvas = report_canvas

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the request is over; None while it is not."""
        if self.failure:
            return FinishReason.FAILED
        if self.cancelled:
            return FinishReason.CANCELLED
        if self.canvas.is_full:
            return FinishReason.LENGTH
        return FinishReason.STOP if self.canvas.is_ended else None

    def commit(self, tokens: Sequence[CommittedToken]) -> Update:
        """Write what a step committed, and move on to the next pass."""
        self.forward_passes += 1
        self.committed_tokens += len(tokens)
        # Every step commits something, unless the logits are not numbers; then no step ever would.
        if not tokens:
            self.failure = "the model's logits are not numbers"
        positions = np.array([token.position for token in tokens], dtype=np.int64) + self.canvas.start
        self._policy.apply(self.canvas, positions, [token.id for token in tokens])
        if not self.finish_reason:
            self.next_pass = self._policy.next_pass(self.canvas)
        return self.update(tokens)

    def update(self, committed: Sequence[CommittedToken] = (), reason: FinishReason | None = None) -> Update:
        """Return what to publish after a step, or at the end."""
        canvas = tuple(self.canvas.generated.tolist()) if reason or self._report_canvas else ()
        failure = self.failure if reason else ""
        return Update(committed, self.canvas.ready, self.forward_passes, self.committed_tokens, canvas, reason, failure)


def build_request(
    request_id: str,
    prompt: Sequence[int],
    params: SamplingParams,
    *,
    mask_token_id: int,
    suffix: Sequence[int] = (),
    publish: Publish = lambda _: None,
    report_canvas: bool = False,
) -> Request:
    """Lay out a canvas and begin with its first block."""
    canvas = Canvas(
        prompt,
        suffix,
        gen_length=params.gen_length,
        mask_token_id=mask_token_id,
        end_token_ids=params.end_token_ids,
        guided=bool(params.cfg_scale),
        growing=params.canvas is CanvasMode.GROW,
    )
    policy = SemiAutoregressive(canvas, params)
    return Request(request_id, canvas, policy, params, publish, report_canvas=report_canvas)
