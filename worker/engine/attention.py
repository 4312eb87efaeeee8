"""Attention of packed rows, each within its own request's slot of the arena.

Every class here writes the keys and values of a batch's rows into their slots and attends to all that the slots hold;
`worker.models.llada.Attend` has the shapes.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.batch import Run
from worker.engine.kv_cache import KeysAndValues

# Of a run whose attention is computed as plain products; the scores of a large one would take gigabytes.
MOST_SCORES = 1 << 24

Kernel = Callable[..., Any]


class RunByRun:
    """One run after the other: what every device can do, and as good as any on a CPU."""

    def __init__(self, arena: KeysAndValues, places: Tensor, runs: Sequence[Run]) -> None:
        self._arena = arena
        self._places = places
        self._runs = runs
        self._lengths = [run.end - run.start for run in runs]
        self._by_products = (arena.keys.device.type, arena.keys.dtype) == ("cpu", torch.bfloat16)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._arena.write(layer, self._places, keys, values)
        held_keys, held_values = self._arena.keys[layer], self._arena.values[layer]
        attended = []
        for query, run in zip(torch.split(queries.transpose(0, 1), self._lengths, dim=1), self._runs, strict=True):
            slot = slice(run.first, run.first + run.length)
            small = query.shape[0] * query.shape[1] * run.length <= MOST_SCORES
            attend = _by_products if self._by_products and small else _by_kernel
            attended.append(attend(query, held_keys[:, slot], held_values[:, slot]))
        return torch.cat(attended, dim=1).transpose(0, 1)


def _by_kernel(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """`[heads, rows, head_dim]` from queries of that shape and keys and values `[kv_heads, positions, head_dim]`."""
    return functional.scaled_dot_product_attention(query[None], keys[None], values[None], enable_gqa=True)[0]


def _by_products(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The same in bfloat16 on a CPU, where the kernel multiplies in small pieces; scores in float32, as it has them."""
    kv_heads, _, head_dim = keys.shape
    grouped = query.reshape(kv_heads, -1, head_dim).float()
    with _bfloat16_products():
        scores = torch.bmm(grouped, keys.float().transpose(1, 2)).mul_(head_dim**-0.5)
    return torch.bmm(scores.softmax(-1).to(values.dtype), values).view(query.shape)


@contextmanager
def _bfloat16_products() -> Iterator[None]:
    """Lets a CPU multiply float32 numbers as the bfloat16 numbers that they are here; the sums are float32's."""
    precision = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, precision.fp32_precision = precision.fp32_precision, "bf16"
    try:
        yield
    finally:
        precision.fp32_precision = before


@dataclass(frozen=True, slots=True)
class Ragged:
    """Where runs lie, for a kernel that takes them all at once; runs in the order of their slots.

    Int32 on the device: `rows` `[runs + 1]`, the first row of each run and the end of the last; `slots` `[runs + 1]`,
    the same of their slots; `lengths` `[runs]`, the positions of each slot that count.
    """

    rows: Tensor
    slots: Tensor
    lengths: Tensor
    longest_run: int
    longest_slot: int

    @classmethod
    def of(cls, runs: Sequence[Run], device: torch.device) -> "Ragged":
        return cls(
            rows=_int32([*(run.start for run in runs), runs[-1].end], device),
            slots=_int32([*(run.first for run in runs), runs[-1].first + runs[-1].length], device),
            lengths=_int32([run.length for run in runs], device),
            longest_run=max(run.end - run.start for run in runs),
            longest_slot=max(run.length for run in runs),
        )


class AllAtOnce:
    """All runs in one call of a variable-length kernel, with nothing read back from the device."""

    def __init__(self, kernel: Kernel, arena: KeysAndValues, places: Tensor, ragged: Ragged) -> None:
        self._kernel = kernel
        self._arena = arena
        self._places = places
        self._ragged = ragged

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._arena.write(layer, self._places, keys, values)
        attended: Tensor = self._kernel(
            queries,
            self._arena.keys[layer].transpose(0, 1),
            self._arena.values[layer].transpose(0, 1),
            cu_seq_q=self._ragged.rows,
            cu_seq_k=self._ragged.slots,
            max_q=self._ragged.longest_run,
            max_k=self._ragged.longest_slot,
            seqused_k=self._ragged.lengths,
            enable_gqa=True,
        )
        return attended


def varlen_kernel(device: torch.device, dtype: torch.dtype) -> Kernel | None:
    """The variable-length attention of torch, where this torch has it and the device may run it."""
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
    """What `varlen_attn` calls in its turn; that of torch 2.11 does not hand on how much of each slot counts."""
    attended: Tensor = torch.ops.aten._flash_attention_forward(  # noqa: SLF001
        queries, keys, values, cu_seq_q, cu_seq_k, max_q, max_k, 0.0, False, False, seqused_k=seqused_k
    )[0]
    return attended


def _int32(numbers: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32).to(device, non_blocking=True)
