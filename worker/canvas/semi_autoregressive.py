"""Blocks from left to right, each of them in any order.

On a canvas of fixed length as `generate` of LLaDA has it; on one that grows as iLLaDA's evaluation does: a block of
masks is appended, denoised with nothing behind it, and the next one follows unless the reply has ended. With a cache it
is Fast-dLLM's: the first pass of a block runs over the whole canvas, and later ones reuse its keys and values. Where
the canvas grows, prefix and dual are the same.
"""

from collections.abc import Sequence

import numpy as np

from worker.canvas.canvas import Canvas, Positions
from worker.canvas.policy import CommitRule, Pass, Segment
from worker.canvas.thinking import end_of_thinking_boost
from worker.canvas.unmasking import block_bounds, quota, steps_of_block
from worker.sampling_params import CacheMode, CanvasMode, Remasking, SamplingParams


class SemiAutoregressive:
    """The blocks of one canvas; `_step` counts the passes of the active one."""

    def __init__(self, canvas: Canvas, params: SamplingParams) -> None:
        self._params = params
        bounds = block_bounds(params.gen_length, params.block_length)
        self._blocks = [(canvas.start + start, canvas.start + end) for start, end in bounds]
        self._start_block(canvas, 0)

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
            boost=end_of_thinking_boost(canvas, self._masked, self._params),
            cost="refresh" if whole else "cached",
        )

    def apply(self, canvas: Canvas, positions: Positions, token_ids: Sequence[int]) -> None:
        canvas.fill(positions, token_ids)
        self._step += 1
        self._masked = canvas.masked(*self._blocks[self._block])
        if not len(self._masked) and self._block + 1 < len(self._blocks) and not canvas.is_ended:
            self._start_block(canvas, self._block + 1)

    def reserved_positions(self, canvas: Canvas) -> int:
        return canvas.streams.size  # of the limit, so that a canvas can grow without asking again

    def max_cached_rows(self, canvas: Canvas) -> int:
        if self._params.kv_cache is CacheMode.NONE:
            return 0
        start, end = self._blocks[0]
        behind = self._params.kv_cache is CacheMode.PREFIX and self._params.canvas is CanvasMode.FIXED
        return len(canvas.streams) * ((canvas.length if behind else end) - start)

    def _rule(self) -> CommitRule:
        params = self._params
        by_confidence = params.threshold is not None or params.factor is not None
        share = 1 if by_confidence else quota(self._masked_at_start, self._steps(), self._step)
        return CommitRule(
            least=max(share, params.min_parallel_tokens),
            most=params.max_parallel_tokens or params.gen_length,
            threshold=params.threshold,
            factor=params.factor,
            sequential=params.remasking is Remasking.SEQUENTIAL,
        )

    def _steps(self) -> int:
        """Return the steps of the active block."""
        params = self._params
        if params.steps_per_block is not None:
            return params.steps_per_block
        if params.canvas is CanvasMode.GROW:
            return max(1, params.steps * params.block_length // params.gen_length)
        return steps_of_block(params.steps, len(self._blocks), self._block)

    def _start_block(self, canvas: Canvas, block: int) -> None:
        self._block, self._step = block, 0
        start, end = self._blocks[block]
        canvas.extend(end)
        self._masked = np.arange(start, end)
        self._masked_at_start = len(self._masked)
