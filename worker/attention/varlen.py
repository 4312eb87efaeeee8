"""Attention of all segments in one call of a variable-length kernel, on a GPU."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
import torch
from torch import Tensor

from worker.attention.base import PackedSegment
from worker.attention.sdpa import SdpaBackend
from worker.kvcache.arena import KVCache

log = structlog.get_logger(__name__)

Kernel = Callable[..., Any]

# Of a trial against another kernel: one step of bfloat16 is 2^-8 of a number.
TRIAL_RTOL = 2**-6
TRIAL_ATOL = 1e-2


@dataclass(frozen=True, slots=True)
class VarlenMetadata:
    """Where segments lie; they are in the order of their slots.

    Int32 on the device: `cu_seq_q` `[segments + 1]`, the first row of each segment and the end of the last; `cu_seq_k`
    `[segments + 1]`, the same of their slots; `seqused_k` `[segments]`, the slots of each that count.
    """

    cu_seq_q: Tensor
    cu_seq_k: Tensor
    seqused_k: Tensor
    max_q: int
    max_k: int

    @classmethod
    def build(cls, segments: Sequence[PackedSegment], device: torch.device) -> "VarlenMetadata":
        last = segments[-1]
        return cls(
            cu_seq_q=_int32([*(segment.start for segment in segments), last.end], device),
            cu_seq_k=_int32([*(segment.kv_start for segment in segments), last.kv_start + last.kv_length], device),
            seqused_k=_int32([segment.kv_length for segment in segments], device),
            max_q=max(segment.end - segment.start for segment in segments),
            max_k=max(segment.kv_length for segment in segments),
        )


class VarlenBackend:
    """Writes the rows' keys and values to their slots, and attends with nothing read back from the device."""

    def __init__(self, kernel: Kernel, cache: KVCache, slot_mapping: Tensor, metadata: VarlenMetadata) -> None:
        self._kernel = kernel
        self._cache = cache
        self._slot_mapping = slot_mapping
        self._metadata = metadata

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._cache.write(layer, self._slot_mapping, keys, values)
        attended: Tensor = self._kernel(
            queries,
            self._cache.keys[layer].transpose(0, 1),
            self._cache.values[layer].transpose(0, 1),
            cu_seq_q=self._metadata.cu_seq_q,
            cu_seq_k=self._metadata.cu_seq_k,
            max_q=self._metadata.max_q,
            max_k=self._metadata.max_k,
            seqused_k=self._metadata.seqused_k,
            enable_gqa=True,
        )
        return attended


def varlen_kernel(device: torch.device, dtype: torch.dtype) -> Kernel | None:
    """Return the variable-length attention of torch, where this torch has it and the device may run it."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - torch 2.10 was the first to have it
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    if not {"seqused_k", "enable_gqa"} <= set(known):
        return flash_attention
    # Keys that are split up would be summed in an order that depends on the longest slot of the batch.
    return partial(varlen_attn, num_splits=1) if "num_splits" in known else varlen_attn


def flash_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    seqused_k: Tensor,
    enable_gqa: bool,  # noqa: ARG001 - it sees by the shapes which heads share keys
) -> Tensor:
    """Call what `varlen_attn` calls in its turn; that of torch 2.11 does not hand on how much of each slot counts."""
    attended: Tensor = torch.ops.aten._flash_attention_forward(  # noqa: SLF001
        queries, keys, values, cu_seq_q, cu_seq_k, max_q, max_k, 0.0, False, False, seqused_k=seqused_k
    )[0]
    return attended


@torch.inference_mode()
def passes_trial(kernel: Kernel, cache: KVCache, heads: int) -> bool:
    """Return True if `kernel` runs here and attends to what it should, with the shapes that it will get.

    Tries grouped queries, a gap between slots, an empty segment and one that fills rows up. Overwrites the cache.
    """
    segments = [PackedSegment(0, 1, 0, 2), PackedSegment(1, 4, 3, 4), PackedSegment(4, 6, 8, 1)]
    empty = PackedSegment(6, 6, 9, 0)
    if cache.positions < empty.kv_start:
        return False
    device, dtype = cache.keys.device, cache.keys.dtype
    _, kv_heads, _, head_dim = cache.keys.shape
    random = torch.Generator(device).manual_seed(0)
    for held in (cache.keys, cache.values):
        held[0, :, : empty.kv_start].normal_(generator=random)
    queries = torch.randn(6, heads, head_dim, generator=random, dtype=dtype, device=device)
    keys, values = torch.randn(2, 6, kv_heads, head_dim, generator=random, dtype=dtype, device=device)
    slot_mapping = torch.tensor([0, 4, 5, 6, 8, 8], device=device)
    metadata = VarlenMetadata.build([*segments, empty], device)
    try:
        tried = VarlenBackend(kernel, cache, slot_mapping, metadata)(0, queries, keys, values)[:4]
    except Exception:
        log.warning("variable-length attention failed its trial; the worker attends segment by segment", exc_info=True)
        return False
    known = SdpaBackend(cache, slot_mapping, segments)(0, queries, keys, values)[:4]
    same = torch.allclose(tried, known, rtol=TRIAL_RTOL, atol=TRIAL_ATOL)
    if not same:
        log.warning("variable-length attention gives other results here; the worker attends segment by segment")
    return same


def _int32(numbers: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32).to(device, non_blocking=True)
