"""One forward pass's worth of sequences: their rows packed one behind the other, their options as columns.

A row is a position of a canvas. All is laid out on the host as numpy arrays, whole arrays at a time: a plan holds what
a rank needs for a step and nothing else, so that it can be sent to any of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.attention.base import PackedSegment
from worker.decoding.sampling_metadata import Array, SamplingMetadata
from worker.engine.request import Request

# (most, step): up to `most` rows, sizes are multiples of `step`; above the last, of `LARGEST_STEP`.
SIZES = ((64, 4), (128, 16), (512, 32), (2048, 128))
LARGEST_STEP = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRules:
    """The rule of each sequence.

    Int64 `least` and `most`, float64 `thresholds` and `factors`, NaN for none, bool `sequential`.
    """

    least: Array
    most: Array
    thresholds: Array
    factors: Array
    sequential: Array

    @classmethod
    def build(cls, requests: Sequence[Request]) -> "CommitRules":
        rules = [request.next_pass.rule for request in requests]
        counts = np.array([(rule.least, rule.most) for rule in rules], dtype=np.int64).T
        bounds = np.array([(_number(rule.threshold), _number(rule.factor)) for rule in rules], dtype=np.float64).T
        return cls(
            least=counts[0],
            most=counts[1],
            thresholds=bounds[0],
            factors=bounds[1],
            sequential=np.array([rule.sequential for rule in rules]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """The rows of the sequences of a step, and which of them are candidates, positions that it may commit.

    Int64 `token_ids`, `positions` of the canvas and `slot_mapping` into the KV cache, each `[rows]`. `logits_indices`
    are the rows whose logits are computed: those of the candidates, then those of the unconditional twins of guided
    ones. Both are filled up to one of few sizes, the rows by a last segment that nobody reads. `request_indices` and
    `rank_in_request` say of each candidate whose it is and its number among those of its sequence.
    """

    segments: Sequence[PackedSegment]
    token_ids: Array
    positions: Array
    slot_mapping: Array
    logits_indices: Array
    request_indices: Array
    rank_in_request: Array
    rules: CommitRules
    sampling: SamplingMetadata

    @classmethod
    def pack(cls, requests: Sequence[Request], *, padding_slot: int) -> "StepPlan":
        """Lay out the next pass of `requests`; the rows that fill a plan up are written to `padding_slot`."""
        segments, rows, logits_indices = _rows(requests, padding_slot)
        token_ids, positions, slot_mapping = rows
        candidates = [request.next_pass.candidates for request in requests]
        counts = [len(one) for one in candidates]
        request_indices = np.repeat(np.arange(len(requests)), counts)
        generated = [one - request.canvas.start for one, request in zip(candidates, requests, strict=True)]
        steps = np.array([request.forward_passes for request in requests])
        params = [request.params for request in requests]
        return cls(
            segments=segments,
            token_ids=token_ids,
            positions=positions,
            slot_mapping=slot_mapping,
            logits_indices=logits_indices,
            request_indices=request_indices,
            rank_in_request=np.concatenate([np.arange(count) for count in counts]),
            rules=CommitRules.build(requests),
            sampling=SamplingMetadata.build(
                params, request_indices, np.concatenate(generated), steps, list(_boosts(requests))
            ),
        )


def _boosts(requests: Sequence[Request]) -> Iterator[tuple[int, int, float]]:
    """Yield the number of the candidate, the token and the amount of each boost."""
    first = 0
    for request in requests:
        candidates, boost = request.next_pass.candidates, request.next_pass.boost
        if boost is not None:
            yield first + int(np.searchsorted(candidates, boost.position)), boost.token_id, boost.amount
        first += len(candidates)


def rounded_up(rows: int) -> int:
    """Return the next of few sizes: a CPU's kernels are compiled for each number of rows, and held in memory."""
    step = _step(rows)
    return -(-rows // step) * step


def rounded_down(rows: int) -> int:
    """Return the size below, but no less than the smallest."""
    step = _step(rows)
    return max(step, rows // step * step)


def _step(rows: int) -> int:
    return next((step for most, step in SIZES if rows <= most), LARGEST_STEP)


def _rows(requests: Sequence[Request], padding_slot: int) -> tuple[list[PackedSegment], Array, Array]:
    """Return the segments, their rows (token ids, positions, slots), and the rows whose logits are computed."""
    segments: list[PackedSegment] = []
    rows: list[Array] = []
    wanted: tuple[list[Array], list[Array]] = ([], [])
    end = 0
    for request in requests:
        canvas, candidates = request.canvas, request.next_pass.candidates
        for segment in request.next_pass.segments:
            positions = np.arange(segment.start, segment.end)
            start, end = end, end + len(positions)
            kv_start = request.reservation.start + segment.stream * canvas.capacity
            segments.append(PackedSegment(start, end, kv_start, segment.context_end))
            rows.append(np.stack([canvas.streams[segment.stream, positions], positions, positions + kv_start]))
            wanted[segment.stream].append(candidates + (start - segment.start))
    filling = rounded_up(end) - end
    if filling:
        segments.append(PackedSegment(end, end + filling, padding_slot, 1))
        rows.append(np.array([[0], [0], [padding_slot]]).repeat(filling, axis=1))
    indices = np.concatenate([*wanted[0], *wanted[1]])
    return segments, np.concatenate(rows, axis=1), np.pad(indices, (0, rounded_up(len(indices)) - len(indices)))


def _number(value: float | None) -> float:
    return np.nan if value is None else value
