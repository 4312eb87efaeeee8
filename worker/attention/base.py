"""What attention is to the rest of the worker."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class PackedSegment:
    """Rows `start` to `end` of a step, which attend to `kv_length` slots of the KV cache from `kv_start` on."""

    start: int
    end: int
    kv_start: int
    kv_length: int


class AttentionBackend(Protocol):
    """Attention of packed rows, each against the keys and values of its own sequence."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return `[rows, heads, head_dim]`; queries have that shape, keys and values `[rows, kv_heads, head_dim]`."""
        ...
