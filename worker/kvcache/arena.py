"""Keys and values of all running sequences, in one arena that is allocated once.

A sequence reserves the bound of its canvas when it is admitted, so that it can grow inside, and its reservation is one
contiguous range of positions. Where attention is bidirectional keys and values depend on the whole canvas: none are
shared between sequences.
"""

from bisect import insort
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, order=True)
class Reservation:
    """Positions of the arena, from `start` on, that belong to one sequence."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


NO_RESERVATION = Reservation(0, 0)


class SlotAllocator:
    """Keeps which positions of an arena are taken. Takes the first gap that is wide enough."""

    def __init__(self, positions: int) -> None:
        self.positions = positions
        self._taken: list[Reservation] = []

    @property
    def used(self) -> int:
        return sum(taken.length for taken in self._taken)

    def take(self, length: int) -> Reservation | None:
        """Return `length` positions in one range, or None if no gap is that wide now."""
        start = 0
        for taken in self._taken:
            if taken.start - start >= length:
                break
            start = taken.end
        if start + length > self.positions:
            return None
        reservation = Reservation(start, length)
        insort(self._taken, reservation)
        return reservation

    def free(self, reservation: Reservation) -> None:
        self._taken.remove(reservation)


@dataclass(frozen=True, slots=True, kw_only=True)
class KVCacheSpec:
    """What a model keeps of each position."""

    layers: int
    kv_heads: int
    head_dim: int

    def bytes_per_position(self, dtype: torch.dtype) -> int:
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize


def max_positions_in_memory(
    spec: KVCacheSpec, dtype: torch.dtype, *, requests: int, max_length: int, free_bytes: int
) -> int:
    """Return positions for `requests` of `max_length` or, where memory is short, for half of what is free."""
    affordable = free_bytes // 2 // spec.bytes_per_position(dtype)
    return max(1, min(requests * max_length, affordable))


class KVCache:
    """The arena's tensors: `keys` and `values`, each `[layers, kv_heads, positions, head_dim]`, keys after RoPE.

    Raises `MemoryError` if the device has no room for them.
    """

    def __init__(self, spec: KVCacheSpec, positions: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (spec.layers, spec.kv_heads, positions, spec.head_dim)
        self.positions = positions
        try:
            self.keys = torch.empty(shape, dtype=dtype, device=device)
            self.values = torch.empty(shape, dtype=dtype, device=device)
        except RuntimeError as error:  # what a CPU's allocator raises
            raise MemoryError(f"no room for the keys and values of {positions} positions") from error

    def write(self, layer: int, slot_mapping: Tensor, keys: Tensor, values: Tensor) -> None:
        """Puts `keys` and `values` `[rows, kv_heads, head_dim]` at int64 `slot_mapping` `[rows]`."""
        self.keys[layer].index_copy_(1, slot_mapping, keys.transpose(0, 1))
        self.values[layer].index_copy_(1, slot_mapping, values.transpose(0, 1))
