"""Attention segment by segment: what every device can do, and as good as any on a CPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from worker.attention.base import PackedSegment
from worker.kvcache.arena import KVCache

# Of a segment whose attention is computed as plain products; the scores of a large one would take gigabytes.
MAX_SCORES = 1 << 24
# Not cuDNN's, which torch prefers on Hopper: it builds a plan for each pair of lengths, which takes up to a second.
CUDA_BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class SdpaBackend:
    """Writes the rows' keys and values to their slots, and attends to one segment after the other."""

    def __init__(self, cache: KVCache, slot_mapping: Tensor, segments: Sequence[PackedSegment]) -> None:
        self._cache = cache
        self._slot_mapping = slot_mapping
        self._segments = segments
        self._lengths = [segment.end - segment.start for segment in segments]
        device = cache.keys.device.type
        self._attend = _sdpa_cuda if device == "cuda" else _sdpa
        self._in_products = (device, cache.keys.dtype) == ("cpu", torch.bfloat16)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._cache.write(layer, self._slot_mapping, keys, values)
        held_keys, held_values = self._cache.keys[layer], self._cache.values[layer]
        attended = []
        for query, segment in zip(
            torch.split(queries.transpose(0, 1), self._lengths, dim=1), self._segments, strict=True
        ):
            slots = slice(segment.kv_start, segment.kv_start + segment.kv_length)
            small = query.shape[0] * query.shape[1] * segment.kv_length <= MAX_SCORES
            attend = _sdpa_bf16_cpu if self._in_products and small else self._attend
            attended.append(attend(query, held_keys[:, slots], held_values[:, slots]))
        return torch.cat(attended, dim=1).transpose(0, 1)


def _sdpa(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return `[heads, rows, head_dim]` of queries so shaped, keys and values `[kv_heads, positions, head_dim]`."""
    return functional.scaled_dot_product_attention(query[None], keys[None], values[None], enable_gqa=True)[0]


def _sdpa_cuda(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    with sdpa_kernel(CUDA_BACKENDS):
        return _sdpa(query, keys, values)


def _sdpa_bf16_cpu(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Do the same in plain products, as the kernel multiplies in small pieces; scores are float32, as its are."""
    kv_heads, _, head_dim = keys.shape
    grouped = query.reshape(kv_heads, -1, head_dim).float()
    with _bfloat16_products():
        scores = torch.bmm(grouped, keys.float().transpose(1, 2)).mul_(head_dim**-0.5)
    return torch.bmm(scores.softmax(-1).to(values.dtype), values).view(query.shape)


@contextmanager
def _bfloat16_products() -> Iterator[None]:
    """Let a CPU multiply float32 numbers as the bfloat16 numbers that they are here; the sums are float32's."""
    precision = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, precision.fp32_precision = precision.fp32_precision, "bf16"
    try:
        yield
    finally:
        precision.fp32_precision = before
