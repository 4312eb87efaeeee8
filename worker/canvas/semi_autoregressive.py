"""LLaDA's way over a canvas: blocks from left to right, each of them in any order, as `generate` of LLaDA has it.

With a cache it is Fast-dLLM's: the first pass of a block runs over the whole canvas, and later ones reuse its keys and
values.
"""

from collections.abc import Sequence

import numpy as np

from worker.canvas.canvas import Canvas, Positions
from worker.canvas.policy import CommitRule, Pass, Segment
from worker.canvas.unmasking import block_bounds, quota, steps_of_block
from worker.sampling_params import CacheMode, SamplingParams


class SemiAutoregressive:
    """The blocks of one canvas of fixed length; `_step` counts the passes of the active one."""

    def __init__(self, canvas: Canvas, params: SamplingParams) -> None:
        self._params = params
        bounds = block_bounds(params.gen_length, params.block_length)
        self._blocks = [(canvas.start + start, canvas.start + end) for start, end in bounds]
        self._start_block(0)

    def next_pass(self, canvas: Canvas) -> Pass:
        start, end = self._blocks[self._block]
        whole = self._step == 0 or self._params.kv_cache is CacheMode.NONE
        if whole:
            start, end = 0, canvas.length
        elif self._params.kv_cache is CacheMode.PREFIX:
            end = canvas.length
        return Pass(
            segments=[Segment(start, end, canvas.length, stream) for stream in range(len(canvas.streams))],
            candidates=self._masked,
            rule=self._rule(),
            cost="refresh" if whole else "cached",
        )

    def apply(self, canvas: Canvas, positions: Positions, token_ids: Sequence[int]) -> None:
        canvas.fill(positions, token_ids)
        self._step += 1
        self._masked = canvas.masked(*self._blocks[self._block])
        if not len(self._masked) and self._block + 1 < len(self._blocks):
            self._start_block(self._block + 1)

    def reserved_positions(self, canvas: Canvas) -> int:
        return canvas.streams.size

    def max_cached_rows(self, canvas: Canvas) -> int:
        if self._params.kv_cache is CacheMode.NONE:
            return 0
        start, end = self._blocks[0]
        last = canvas.length if self._params.kv_cache is CacheMode.PREFIX else end
        return len(canvas.streams) * (last - start)

    def _rule(self) -> CommitRule:
        most = self._params.max_parallel_tokens or self._params.gen_length
        threshold, factor = self._params.threshold, self._params.factor
        if threshold is not None or factor is not None:
            return CommitRule(least=1, most=most, threshold=threshold, factor=factor)
        steps = steps_of_block(self._params.steps, len(self._blocks), self._block)
        share = quota(self._masked_at_start, steps, self._step)
        return CommitRule(least=share, most=most)

    def _start_block(self, block: int) -> None:
        self._block, self._step = block, 0
        self._masked = np.arange(*self._blocks[block])
        self._masked_at_start = len(self._masked)
