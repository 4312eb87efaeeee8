"""One forward pass's worth of requests: their rows packed one behind the other, their options as columns.

A row is a position of a canvas. The span of positions that a request's next pass runs over is a run of rows; with
guidance there is a second run, the unconditional twin's. All is laid out on the host, whole arrays at a time, and
travels to the device in a few copies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.decoding.knobs import Knobs
from worker.engine.columns import Array, Columns, on_device, those
from worker.engine.request import Request

# (most, step): up to `most` rows, sizes are multiples of `step`; above the last, of `LARGEST_STEP`.
SIZES = ((64, 4), (128, 16), (512, 32), (2048, 128))
LARGEST_STEP = 512


@dataclass(frozen=True, slots=True)
class Run:
    """Rows `start` to `end` of the batch, which attend to `length` positions of the arena from `first` on."""

    start: int
    end: int
    first: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some of the masked positions, few enough for their logits to be held at once.

    `rows` are their hidden states; `twins` those of the unconditional twins of the rows `guided`, int64, which have
    float32 `scales`.
    """

    rows: slice
    knobs: Knobs
    guided: Tensor | None
    twins: slice
    scales: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of `requests`, and which of them are masked positions of an active block.

    Int64 `token_ids`, `positions` of the canvas and `places` in the arena, each `[rows]`. `wanted` are the rows whose
    hidden states are read: those of the masked positions, then those of the unconditional twins. Both are filled up to
    one of few sizes, the rows with a last run that nobody reads. `owners` and `ranks` say of each masked position
    whose it is (the index of the request) and its number among those of its request; `quotas`, `thresholds` and
    `factors` are `[requests]`.
    """

    requests: Sequence[Request]
    runs: Sequence[Run]
    token_ids: Tensor
    positions: Tensor
    places: Tensor
    wanted: Tensor
    chunks: Sequence[Chunk]
    owners: Tensor
    ranks: Tensor
    quotas: Tensor
    thresholds: Tensor
    factors: Tensor

    @classmethod
    def pack(cls, requests: Sequence[Request], device: torch.device, *, rows_at_once: int, spare: int) -> "Batch":
        """Lays out the next pass of `requests`, with chunks of at most `rows_at_once` masked positions.

        `spare` is the place in the arena of the rows that fill the batch up.
        """
        runs, rows, wanted = _rows(requests, spare)
        counts = [len(request.masked) for request in requests]
        owners = np.repeat(np.arange(len(requests)), counts)
        ranks = np.concatenate([np.arange(count) for count in counts])
        token_ids, positions, places = on_device(device, rows)
        owners_there, ranks_there = on_device(device, np.stack([owners, ranks]))
        options = [request.options for request in requests]
        rules = [(_number(one.threshold), _number(one.factor)) for one in options]
        thresholds, factors = on_device(device, np.array(rules, dtype=np.float64).T)
        return cls(
            requests=requests,
            runs=runs,
            token_ids=token_ids,
            positions=positions,
            places=places,
            wanted=on_device(device, wanted),
            chunks=list(_chunks(requests, owners, device, rows_at_once)),
            owners=owners_there,
            ranks=ranks_there,
            quotas=on_device(device, np.array([request.quota for request in requests])),
            thresholds=thresholds,
            factors=factors,
        )

    def by_request(self, values: Tensor, absent: float) -> Tensor:
        """`[masked]` values as `[requests, width]`, a line per request, `absent` behind its last masked position."""
        width = max(len(request.masked) for request in self.requests)
        spread = values.new_full((len(self.requests), width), absent)
        spread[self.owners, self.ranks] = values
        return spread


def rounded_up(rows: int) -> int:
    """The next of few sizes: a CPU's kernels are compiled for each number of rows, and held in memory."""
    step = _step(rows)
    return -(-rows // step) * step


def rounded_down(rows: int) -> int:
    """The size below, but no less than the smallest."""
    step = _step(rows)
    return max(step, rows // step * step)


def _step(rows: int) -> int:
    return next((step for most, step in SIZES if rows <= most), LARGEST_STEP)


def _rows(requests: Sequence[Request], spare: int) -> tuple[list[Run], Array, Array]:
    """The runs, their rows (token ids, positions, places), and the rows whose hidden states are wanted."""
    runs: list[Run] = []
    rows: list[Array] = []
    masked: list[Array] = []
    twins: list[Array] = []
    end = 0
    for request in requests:
        positions = np.arange(*request.span)
        wanted = request.masked + (len(request.prompt) - request.span[0])
        for number, canvas in enumerate(request.canvases):
            start, end = end, end + len(positions)
            first = request.slot.start + number * request.length
            runs.append(Run(start, end, first, request.length))
            rows.append(np.stack([canvas[positions], positions, positions + first]))
            (twins if number else masked).append(wanted + start)
    filling = rounded_up(end) - end
    if filling:
        runs.append(Run(end, end + filling, spare, 1))
        rows.append(np.array([[0], [0], [spare]]).repeat(filling, axis=1))
    wanted = np.concatenate(masked + twins)
    return runs, np.concatenate(rows, axis=1), np.pad(wanted, (0, rounded_up(len(wanted)) - len(wanted)))


def _chunks(requests: Sequence[Request], owners: Array, device: torch.device, rows_at_once: int) -> Iterator[Chunk]:
    """The masked positions in chunks, each with the options that decide about it."""
    scales = np.array([request.options.cfg_scale for request in requests], dtype=np.float32)[owners]
    columns = Columns(requests, owners)
    twin = len(owners)
    for start in range(0, len(owners), rows_at_once):
        end = min(start + rows_at_once, len(owners))
        guided = np.flatnonzero(scales[start:end])
        twins = slice(twin, twin + len(guided))
        twin = twins.stop
        yield Chunk(
            rows=slice(start, end),
            knobs=columns.knobs(start, end, device),
            guided=those(device, guided),
            twins=twins,
            scales=on_device(device, scales[start:end][guided]),
        )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
