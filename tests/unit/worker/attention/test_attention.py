import pytest
import torch
from torch.nn import functional
from torch.nn.attention import varlen

from worker.attention.base import PackedSegment
from worker.attention.sdpa import SdpaBackend
from worker.attention.varlen import flash_attention, varlen_kernel
from worker.kvcache.arena import KVCache, KVCacheSpec

SEGMENTS = [PackedSegment(0, 5, 2, 9), PackedSegment(5, 6, 11, 1), PackedSegment(6, 40, 12, 48)]


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_segment_attends_to_its_own_slot_in_the_precision_of_its_dtype(dtype: torch.dtype, kv_heads: int) -> None:
    spec = KVCacheSpec(layers=1, kv_heads=kv_heads, head_dim=16)
    torch.manual_seed(0)
    arena = KVCache(spec, 60, dtype, torch.device("cpu"))
    arena.keys.normal_()
    arena.values.normal_()
    queries = (torch.randn(40, 4, 16) * 3).to(dtype)
    keys, values = torch.randn(2, 40, kv_heads, 16).to(dtype)
    places = torch.cat([torch.arange(run.kv_start, run.kv_start + run.end - run.start) for run in SEGMENTS])
    before = torch.backends.mkldnn.matmul.fp32_precision
    attended = SdpaBackend(arena, places, SEGMENTS)(0, queries, keys, values)
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    for run in SEGMENTS:
        slot = slice(run.kv_start, run.kv_start + run.kv_length)
        exact = [queries[run.start : run.end].transpose(0, 1), arena.keys[0, :, slot], arena.values[0, :, slot]]
        query, key, value = (heads.double()[None] for heads in exact)
        expected = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)[0].transpose(0, 1)
        error = (attended[run.start : run.end].double() - expected).abs().max()
        assert error < (1e-5 if dtype is torch.float32 else 2e-2)
    assert torch.equal(arena.keys[0, :, places], keys.transpose(0, 1))


CUDA = torch.device("cuda")


def test_the_kernel_is_the_one_that_this_torch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        varlen, "varlen_attn", lambda *, seqused_k, enable_gqa, num_splits: (seqused_k, enable_gqa, num_splits)
    )
    kernel = varlen_kernel(CUDA, torch.bfloat16)
    assert kernel is not None
    assert kernel(seqused_k=None, enable_gqa=True) == (None, True, 1)
    monkeypatch.setattr(varlen, "varlen_attn", lambda *, cu_seq_k: cu_seq_k)
    assert varlen_kernel(CUDA, torch.float16) is flash_attention
    monkeypatch.delattr(varlen, "varlen_attn")
    assert varlen_kernel(CUDA, torch.float16) is None


def test_there_is_no_kernel_for_cpus_and_for_float32() -> None:
    assert varlen_kernel(torch.device("cpu"), torch.bfloat16) is None
    assert varlen_kernel(CUDA, torch.float32) is None


def test_torch_takes_what_the_older_kernel_hands_on() -> None:
    """Only its shapes: there is no such kernel for a CPU."""
    queries, keys, values = (torch.empty(*shape, 16, device="meta") for shape in ((40, 4), (60, 2), (60, 2)))
    firsts, lengths = (torch.empty(size, dtype=torch.int32, device="meta") for size in (4, 3))
    attended = flash_attention(
        queries,
        keys,
        values,
        cu_seq_q=firsts,
        cu_seq_k=firsts,
        max_q=34,
        max_k=48,
        seqused_k=lengths,
        enable_gqa=True,
    )
    assert attended.shape == queries.shape
