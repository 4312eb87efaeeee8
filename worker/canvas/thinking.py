"""Ending a model's thinking in time: the end of thinking becomes likelier the more has been generated.

The rule is that of iLLaDA's evaluation: once in each step, one token at one position gets a higher logit.
"""

import numpy as np
from numpy.typing import NDArray

from worker.canvas.canvas import Canvas, Positions
from worker.canvas.policy import Boost
from worker.sampling_params import SamplingParams


def end_of_thinking_boost(canvas: Canvas, masked: Positions, params: SamplingParams) -> Boost | None:
    """Return what to add to the leftmost of the block's `masked` positions; None if nothing is to be added.

    The token is the next one of `end_of_thinking_ids`, behind as many of them as stand there already. The amount is
    boost · min(1, g / budget)^power, g the number of the generated position, from 1.
    """
    ids = np.array(params.end_of_thinking_ids, dtype=np.int64)
    if params.end_of_thinking_boost <= 0 or not len(ids):
        return None
    if _contains(canvas.generated, ids):
        return None
    position = int(masked[0])
    generated = position - canvas.start + 1
    share = min(1.0, generated / (params.thinking_budget or params.gen_length))
    before = canvas.streams[0, max(canvas.start, position - len(ids) + 1) : position]
    begun = next(n for n in range(len(ids) - 1, -1, -1) if n <= len(before) and _ends_with(before, ids[:n]))
    return Boost(position, int(ids[begun]), params.end_of_thinking_boost * share**params.end_of_thinking_power)


def _contains(tokens: NDArray[np.int64], ids: NDArray[np.int64]) -> bool:
    if len(tokens) < len(ids):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(tokens, len(ids))
    return bool((windows == ids).all(axis=1).any())


def _ends_with(tokens: NDArray[np.int64], ids: NDArray[np.int64]) -> bool:
    return bool((tokens[len(tokens) - len(ids) :] == ids).all())
