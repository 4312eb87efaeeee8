"""The tokens of one sequence, and which of them are final."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


class Canvas:
    """Prompt, generated span and suffix of one sequence, masks included.

    `streams` is int64 `[streams, capacity]`: the canvas itself and, with guidance, its unconditional twin, in which all
    that is given is masked. Positions count from 0, the first of the prompt; the generated span is `start` to `end`. A
    canvas that is `growing` begins without masks, and `extend` appends them up to its `limit`; nothing can stand behind
    them. Its first `length` positions are there. `ready` positions of the span, counted from its first, are final.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        suffix: Sequence[int],
        *,
        gen_length: int,
        mask_token_id: int,
        end_token_ids: Collection[int] = (),
        guided: bool = False,
        growing: bool = False,
    ) -> None:
        if growing and len(suffix):
            raise ValueError("nothing can stand behind a span that grows")
        masks = [mask_token_id] * gen_length
        tokens = np.array([*prompt, *masks, *suffix], dtype=np.int64)
        twins = [np.full_like(tokens, mask_token_id)] if guided else []
        self.streams: Positions = np.stack([tokens, *twins])
        self.start = len(prompt)
        self.limit = self.start + gen_length
        self.end = self.start if growing else self.limit
        self.ready = 0
        self._mask_token_id = mask_token_id
        self._end_token_ids = frozenset(end_token_ids)
        self._frontier_tokens = np.array([*end_token_ids, mask_token_id], dtype=np.int64)

    @property
    def length(self) -> int:
        return len(self.streams[0]) - (self.limit - self.end)

    @property
    def capacity(self) -> int:
        return len(self.streams[0])

    @property
    def generated(self) -> Positions:
        """The generated span as far as it is there, masks included."""
        return self.streams[0, self.start : self.end]

    @property
    def is_full(self) -> bool:
        return self.ready == self.limit - self.start

    @property
    def is_ended(self) -> bool:
        """True if an end token stands behind final positions alone."""
        return self.ready < self.end - self.start and int(self.generated[self.ready]) in self._end_token_ids

    def extend(self, end: int) -> None:
        """Append masks up to the position `end`; those that are there already stay."""
        self.end = max(self.end, min(end, self.limit))

    def masked(self, start: int, end: int) -> Positions:
        """Return the positions from `start` to `end` that are still masked."""
        return start + np.flatnonzero(self.streams[0, start:end] == self._mask_token_id)

    def fill(self, positions: Positions, token_ids: Sequence[int]) -> None:
        """Write tokens, and move the frontier up to the first mask or end token."""
        self.streams[:, positions] = token_ids
        behind = np.isin(self.generated[self.ready :], self._frontier_tokens)
        self.ready += int(behind.argmax()) if behind.any() else len(behind)
