"""The passes of a GPU on a CPU: a kernel with the same arguments, and graphs that are functions run again."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from worker.attention.varlen import passes_trial
from worker.engine.cuda_graphs import (
    GRAPH_ROWS,
    EagerForward,
    GraphCaptureError,
    GraphForward,
    choose_forward,
)
from worker.engine.engine import Engine
from worker.engine.step_plan import StepPlan
from worker.kvcache.arena import KVCache
from worker.sampling_params import CacheMode


def kernel(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    seqused_k: Tensor,
    enable_gqa: bool,
) -> Tensor:
    """What torch's varlen_attn does on a GPU."""
    attended = torch.zeros_like(queries)
    bounds = zip(cu_seq_q.tolist(), cu_seq_q[1:].tolist(), cu_seq_k.tolist(), seqused_k.tolist(), strict=False)
    assert cu_seq_k.diff().ge(seqused_k).all()
    for start, end, first, length in bounds:
        assert end - start <= max_q
        assert length <= max_k
        if end > start:
            own = (queries[start:end], keys[first : first + length], values[first : first + length])
            query, key, value = (rows.transpose(0, 1)[None] for rows in own)
            heads = functional.scaled_dot_product_attention(query, key, value, enable_gqa=enable_gqa)
            attended[start:end] = heads[0].transpose(0, 1)
    return attended


def use_graphs(engine: Engine, max_segments: int) -> list[int]:
    """Makes the engine's passes those of a GPU; returns the rows of every pass that was not a replay."""
    runner = engine._executor.runner
    network, arena = engine.model.network, runner.cache
    eager = EagerForward(network, arena, kernel)
    seen: list[int] = []

    def counted(plan: StepPlan) -> Tensor:
        seen.append(len(plan.token_ids))
        return eager(plan)

    runner.forward = GraphForward(
        network, arena, kernel, counted, lambda forward: forward, max_segments=max_segments, max_positions=512
    )
    return seen


def test_replayed_passes_give_the_golden_tokens_in_mixed_batches(
    engine: Engine, submit: Any, golden_cases: list[dict[str, Any]]
) -> None:
    eager = use_graphs(engine, max_segments=32)
    cases = golden_cases[::3]
    options = ("gen_length", "block_length", "steps", "threshold", "cfg_scale")
    listeners = [
        submit(case["prompt_ids"], **{key: case[key] for key in options}, kv_cache=CacheMode(case["cache"]))
        for case in cases
    ]
    for case, listener in zip(cases, listeners, strict=True):
        assert list(listener.last().canvas) == case["output_ids"]
    assert all(rows > GRAPH_ROWS[-1] for rows in eager)


def test_more_runs_than_a_graph_has_room_for_are_run_without_it(engine: Engine, submit: Any) -> None:
    alone = submit([1, 2, 3], cfg_scale=1.0).last().canvas
    eager = use_graphs(engine, max_segments=1)
    assert submit([1, 2, 3], cfg_scale=1.0).last().canvas == alone
    assert eager


@pytest.mark.parametrize("broken", ["raises", "ignores lengths"])
def test_a_kernel_that_fails_its_trial_is_not_used(engine: Engine, broken: str) -> None:
    def wrong(*tensors: Tensor, **options: Any) -> Tensor:
        if broken == "raises":
            raise RuntimeError("no kernel image is available")
        return kernel(*tensors, **options | {"seqused_k": options["cu_seq_k"].diff().int()})

    arena = KVCache(engine.model.spec.kv, 20, torch.float32, torch.device("cpu"))
    assert passes_trial(kernel, arena, heads=4)
    assert not passes_trial(wrong, arena, heads=4)


def test_graphs_that_cannot_be_recorded_are_an_error_and_none_are_recorded_where_none_are_wanted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr("worker.engine.cuda_graphs.varlen_kernel", lambda *_: kernel)
    monkeypatch.setattr("worker.engine.cuda_graphs.CudaGraphRecorder", fail)
    cache = engine._executor.runner.cache
    with pytest.raises(GraphCaptureError, match=r"stream is capturing$"):
        choose_forward(engine.model, cache, max_segments=4)
    assert isinstance(choose_forward(engine.model, cache, max_segments=4, use_graphs=False), EagerForward)
