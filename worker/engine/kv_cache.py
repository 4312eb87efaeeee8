"""Keys and values of all running requests, in one arena that is allocated once.

A request's canvas has a known length that never changes, so its slot is one contiguous range of positions. Keys and
values depend on the whole canvas (attention is bidirectional): none are shared between requests.
"""

from bisect import insort
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.models.llada import LladaConfig


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Positions of the arena, from `start` on, that belong to one request."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


NO_SLOT = Slot(0, 0)


class Slots:
    """Which positions of an arena are free. Takes the first gap that is wide enough."""

    def __init__(self, positions: int) -> None:
        self.positions = positions
        self._taken: list[Slot] = []

    @property
    def used(self) -> int:
        return sum(slot.length for slot in self._taken)

    def take(self, length: int) -> Slot | None:
        """A slot of `length` positions; none if no gap is that wide now."""
        start = 0
        for taken in self._taken:
            if taken.start - start >= length:
                break
            start = taken.end
        if start + length > self.positions:
            return None
        slot = Slot(start, length)
        insort(self._taken, slot)
        return slot

    def free(self, slot: Slot) -> None:
        self._taken.remove(slot)


def bytes_of_position(config: LladaConfig, dtype: torch.dtype) -> int:
    return 2 * config.n_layers * config.n_kv_heads * config.head_dim * dtype.itemsize


def affordable_positions(config: LladaConfig, dtype: torch.dtype, *, requests: int, free_bytes: int) -> int:
    """Positions for `requests` of the model's full length or, where memory is short, for half of what is free."""
    affordable = free_bytes // 2 // bytes_of_position(config, dtype)
    return max(1, min(requests * config.max_sequence_length, affordable))


class KeysAndValues:
    """The arena's tensors: `keys` and `values`, each `[layers, kv_heads, positions, head_dim]`, keys after RoPE.

    Raises `MemoryError` if the device has no room for them.
    """

    def __init__(self, config: LladaConfig, positions: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.n_layers, config.n_kv_heads, positions, config.head_dim)
        self.positions = positions
        try:
            self.keys = torch.empty(shape, dtype=dtype, device=device)
            self.values = torch.empty(shape, dtype=dtype, device=device)
        except RuntimeError as error:  # what a CPU's allocator raises
            raise MemoryError(f"no room for the keys and values of {positions} positions") from error

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Puts `keys` and `values` `[rows, kv_heads, head_dim]` at int64 `places` `[rows]`."""
        self.keys[layer].index_copy_(1, places, keys.transpose(0, 1))
        self.values[layer].index_copy_(1, places, values.transpose(0, 1))
