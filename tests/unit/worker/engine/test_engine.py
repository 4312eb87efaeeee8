import queue
import threading
from itertools import accumulate
from typing import Any

import pytest
import torch

from worker.engine.engine import Engine, EngineStoppedError
from worker.engine.model_runner import StepOutput
from worker.engine.request import FinishReason, Update
from worker.engine.scheduler import Limits, NeverFitsError, QueueFullError
from worker.engine.step_plan import StepPlan
from worker.models.spec import LoadedModel
from worker.sampling_params import CacheMode, Remasking, SamplingParams

PROMPT = [77, 202, 24, 37, 274, 48]
END, MASK = 304, 305
ENDLESS = SamplingParams(gen_length=400, block_length=400, steps=400)


def of_case(case: dict[str, Any]) -> dict[str, Any]:
    kept = ("gen_length", "block_length", "steps", "threshold", "cfg_scale")
    return {key: case[key] for key in kept} | {"kv_cache": CacheMode(case["cache"])}


def test_a_seed_gives_the_same_tokens_alone_and_among_others(submit: Any) -> None:
    options = {"gen_length": 24, "block_length": 8, "temperature": 1.0, "top_p": 0.95, "seed": (1 << 64) - 1}
    alone = submit(PROMPT, **options).last().canvas
    others = [submit(PROMPT[:length], temperature=0.7, seed=length, gen_length=40) for length in range(5)]
    assert submit(PROMPT, **options).last().canvas == alone
    assert len({other.last().canvas for other in others}) == len(others)
    assert submit(PROMPT, **options | {"seed": 1}).last().canvas != alone


def test_random_remasking_follows_the_seed(submit: Any) -> None:
    def order(seed: int) -> list[int]:
        listener = submit(PROMPT, remasking=Remasking.RANDOM, seed=seed)
        listener.last()
        return [token.position for update in listener.seen for token in update.committed]

    assert sorted(order(1)) == list(range(16))
    assert order(1) == order(1) != order(2)


def test_updates_tell_every_commit_once_and_the_frontier(submit: Any) -> None:
    listener = submit(PROMPT, gen_length=20, block_length=8)
    last = listener.last()
    committed = {token.position: token for update in listener.seen for token in update.committed}
    assert [committed[position].id for position in range(20)] == list(last.canvas)
    assert sum(len(update.committed) for update in listener.seen) == 20
    filled: set[int] = set()
    for update in listener.seen:
        filled |= {token.position for token in update.committed}
        assert update.ready == next((position for position in range(20) if position not in filled), 20)
    assert {token.step for token in committed.values()} == set(range(1, last.forward_passes + 1))
    assert all(token.logprob <= 0 for token in committed.values())


def test_an_end_token_with_nothing_masked_before_it_ends_the_request(
    submit: Any, golden_cases: list[dict[str, Any]]
) -> None:
    case = next(case for case in golden_cases if END in case["output_ids"][8:-8] and case["threshold"] is None)
    whole = case["output_ids"]
    last = submit(case["prompt_ids"], **of_case(case), end_token_ids=frozenset({END})).last()
    assert last.finish_reason is FinishReason.STOP
    assert list(last.canvas[: last.ready]) == whole[: whole.index(END)]
    assert last.forward_passes <= case["nfe"]


def test_what_is_committed_behind_an_end_token_counts_too(submit: Any, golden_cases: list[dict[str, Any]]) -> None:
    case = next(case for case in golden_cases if END in case["output_ids"][8:-8] and case["threshold"] is None)
    listener = submit(case["prompt_ids"], **of_case(case), end_token_ids=frozenset({END}))
    last = listener.last()
    counts = accumulate(len(update.committed) for update in listener.seen)
    assert [update.committed_tokens for update in listener.seen] == list(counts)
    assert last.committed_tokens > last.ready + 1


def test_a_full_canvas_ends_with_length(submit: Any) -> None:
    last = submit(PROMPT).last()
    assert (last.finish_reason, last.ready) == (FinishReason.LENGTH, 16)


def test_more_steps_than_positions_cost_no_more_passes_than_positions(submit: Any) -> None:
    assert submit(PROMPT, gen_length=8, steps=100).last().forward_passes == 8


def test_lengths_that_do_not_divide_are_filled(submit: Any) -> None:
    last = submit(PROMPT, gen_length=21, block_length=8, steps=7).last()
    assert MASK not in last.canvas
    assert last.forward_passes == 7


def test_a_limit_bounds_what_a_step_commits(submit: Any) -> None:
    listener = submit(PROMPT, steps=1, max_parallel_tokens=3)
    listener.last()
    assert max(len(update.committed) for update in listener.seen) == 3


def test_a_mask_id_in_the_prompt_is_an_ordinary_token(submit: Any) -> None:
    assert MASK not in submit([*PROMPT, MASK, MASK]).last().canvas


def test_a_cancelled_request_leaves_within_one_step(engine: Engine, submit: Any) -> None:
    listener = submit(PROMPT, gen_length=400, block_length=400, steps=400)
    listener.next()
    engine.cancel(listener.request)
    last = listener.last()
    assert last.finish_reason is FinishReason.CANCELLED
    passes = engine.stats().forward_passes
    assert submit(PROMPT, gen_length=4).last().forward_passes == 4
    assert engine.stats().forward_passes == passes + 4
    assert (engine.stats().running_requests, engine.stats().cancelled_requests) == (0, 1)


@pytest.fixture
def batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests took part in each step so far."""
    sizes: list[int] = []
    execute = engine._executor.execute

    def recorded(plan: StepPlan) -> StepOutput:
        sizes.append(len(plan.rules.least))
        return execute(plan)

    monkeypatch.setattr(engine._executor, "execute", recorded)
    return sizes


def test_every_pass_is_counted_by_how_many_requests_took_part(engine: Engine, submit: Any, batches: list[int]) -> None:
    assert engine.stats().step_batch_sizes == (0, 0, 0, 0, 0)
    with engine._changed:  # no step begins before all are there
        listeners = [submit(PROMPT, gen_length=4 + 4 * number) for number in range(16)]
    for listener in listeners:
        listener.last()
    stats = engine.stats()
    bounds = [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16)]
    assert stats.step_batch_sizes == tuple(sum(low <= size <= high for size in batches) for low, high in bounds)
    assert min(stats.step_batch_sizes) > 0
    assert (stats.forward_passes, stats.step_batch_size_sum) == (len(batches), sum(batches))
    assert stats.committed_tokens == sum(len(listener.seen[-1].canvas) for listener in listeners)


@pytest.mark.parametrize(("at_once", "buckets"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (16, 5), (17, 6)])
def test_there_are_as_many_batch_sizes_as_requests_at_once_need(
    golden_model: LoadedModel, at_once: int, buckets: int
) -> None:
    engine = Engine(golden_model, Limits(max_running=at_once, max_waiting=0, positions=64))
    assert engine.stats().step_batch_sizes == (0,) * buckets


def test_the_cache_in_use_is_counted_in_positions(engine: Engine, submit: Any) -> None:
    listener = submit(PROMPT, gen_length=400, cfg_scale=1.0)
    listener.next()
    assert (engine.stats().kv_positions_used, engine.stats().kv_positions) == (2 * (len(PROMPT) + 400), 4096)
    engine.cancel(listener.request)
    listener.last()
    assert engine.stats().kv_positions_used == 0


def test_a_request_that_waits_can_be_cancelled(golden_model: LoadedModel) -> None:
    engine = Engine(golden_model, Limits(max_running=1, max_waiting=1, positions=512))
    engine.start()
    ended: list[Update] = []
    gone = threading.Event()

    def publish(update: Update) -> None:
        ended.append(update)
        gone.set()

    engine.submit("runs", PROMPT, ENDLESS, lambda _: None)
    waiting = engine.submit("waits", PROMPT, ENDLESS, publish)
    engine.cancel(waiting)
    assert gone.wait(60)
    engine.stop()
    assert [update.finish_reason for update in ended] == [FinishReason.CANCELLED]
    assert ended[0].forward_passes == 0


def test_a_full_queue_refuses_and_goes_on(golden_model: LoadedModel) -> None:
    engine = Engine(golden_model, Limits(max_running=1, max_waiting=1, positions=512))
    engine.start()
    for _ in range(2):
        engine.submit("fits", PROMPT, ENDLESS, lambda _: None)
    with pytest.raises(QueueFullError):
        engine.submit("one too many", PROMPT, ENDLESS, lambda _: None)
    engine.stop()
    with pytest.raises(EngineStoppedError):
        engine.submit("too late", PROMPT, ENDLESS, lambda _: None)


def failing(error: Exception, times: int) -> Any:
    """Logits that cannot be computed the first so many times."""
    left = [error] * times

    def logits(hidden: torch.Tensor) -> torch.Tensor:
        if left:
            raise left.pop()
        return torch.rand(len(hidden), 320)

    return logits


def test_a_step_that_fails_ends_its_requests_and_no_others(
    engine: Engine, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            engine.model.network, "compute_logits", failing(torch.OutOfMemoryError("out of memory"), times=1)
        )
        last = submit(PROMPT).last()
        assert (last.finish_reason, last.failure) == (FinishReason.FAILED, "the device ran out of memory")
        assert submit(PROMPT).last().finish_reason is FinishReason.LENGTH
    stats = engine.stats()
    assert (stats.failed_requests, stats.kv_positions_used) == (1, 0)
    assert sum(stats.step_batch_sizes) == stats.forward_passes == 16


def test_a_device_that_is_broken_ends_all_requests_and_says_so(
    golden_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = threading.Event()
    engine = Engine(golden_model, Limits(max_running=1, max_waiting=1, positions=512), on_broken=broken.set)
    engine.start()
    monkeypatch.setattr(
        golden_model.network, "compute_logits", failing(RuntimeError("unspecified launch failure"), times=2)
    )
    ended: queue.SimpleQueue[Update] = queue.SimpleQueue()
    for name in ("runs", "waits"):
        engine.submit(name, PROMPT, ENDLESS, ended.put)
    reasons = {ended.get(timeout=60).finish_reason for _ in range(2)}
    assert reasons == {FinishReason.FAILED, FinishReason.CANCELLED}
    assert broken.wait(60)
    with pytest.raises(EngineStoppedError, match="broken"):
        engine.submit("too late", PROMPT, ENDLESS, lambda _: None)
    engine.stop()


def test_a_failed_step_leaves_what_others_hold_in_the_cache(
    engine: Engine, submit: Any, golden_cases: list[dict[str, Any]]
) -> None:
    """The probe after a failure writes keys and values too; they must not land in anybody's slot."""
    case = next(case for case in golden_cases if case["cache"] == "dual" and case["threshold"] is None)
    listener = submit(case["prompt_ids"], **of_case(case))
    listener.next()
    engine._executor.check_health()
    assert list(listener.last().canvas) == case["output_ids"]


def test_logits_that_are_not_numbers_end_their_request(
    engine: Engine, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_numbers(hidden: torch.Tensor) -> torch.Tensor:
        return torch.full((len(hidden), 320), torch.nan)

    with monkeypatch.context() as patched:
        patched.setattr(engine.model.network, "compute_logits", not_numbers)
        last = submit(PROMPT).last()
    assert (last.finish_reason, last.forward_passes) == (FinishReason.FAILED, 1)


@pytest.mark.parametrize("remasking", Remasking)
def test_what_is_not_a_number_ends_its_request_whatever_the_remasking(
    engine: Engine, submit: Any, monkeypatch: pytest.MonkeyPatch, remasking: Remasking
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            engine.model.network, "compute_logits", lambda hidden: torch.full((len(hidden), 320), torch.inf)
        )
        last = submit(PROMPT, remasking=remasking).last()
    assert (last.finish_reason, last.failure) == (FinishReason.FAILED, "the model's logits are not numbers")


def test_a_listener_that_fails_loses_its_request_and_no_other(engine: Engine, submit: Any) -> None:
    def deaf(_: Update) -> None:
        raise RuntimeError("the event loop is closed")

    engine.submit("deaf", PROMPT, ENDLESS, deaf)
    assert submit(PROMPT).last().finish_reason is FinishReason.LENGTH
    assert (engine.stats().running_requests, engine.stats().cancelled_requests) == (0, 1)


def test_an_engine_that_fails_ends_all_requests_and_says_so(
    golden_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = threading.Event()
    engine = Engine(golden_model, Limits(max_running=1, max_waiting=1, positions=512), on_broken=broken.set)
    engine.start()
    monkeypatch.setattr(engine._scheduler, "schedule", lambda: [None])
    ended: queue.SimpleQueue[Update] = queue.SimpleQueue()
    engine.submit("unlucky", PROMPT, ENDLESS, ended.put)
    assert ended.get(timeout=60).finish_reason is FinishReason.CANCELLED
    assert broken.wait(60)
    with pytest.raises(EngineStoppedError, match="failed"):
        engine.submit("too late", PROMPT, ENDLESS, lambda _: None)
    assert (engine.stats().failed_requests, engine.stats().running_requests, engine.stats().queued_requests) == (
        1,
        0,
        0,
    )


def test_logits_in_chunks_give_the_same_tokens(engine: Engine, submit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"gen_length": 24, "temperature": 0.8, "seed": 5, "cfg_scale": 0.5, "top_logprobs": 2}
    whole = submit(PROMPT, **options).last().canvas
    monkeypatch.setattr(engine._executor.runner, "rows_at_once", 7)
    assert submit(PROMPT, **options).last().canvas == whole


def test_a_request_larger_than_the_cache_is_refused_by_the_name_of_its_field(golden_model: LoadedModel) -> None:
    engine = Engine(golden_model, Limits(max_running=1, max_waiting=1, positions=100))
    options = SamplingParams(gen_length=50, block_length=50, steps=50, cfg_scale=1.0)
    with pytest.raises(
        NeverFitsError, match=r"^gen_length: .* length is 50 tokens. However, .* 56 positions twice.* holds 100"
    ):
        engine.submit("too large", PROMPT, options, lambda _: None)


def test_top_logprobs_are_the_model_s_own_and_hold_the_committed_token(submit: Any) -> None:
    listener = submit(PROMPT, top_logprobs=3, logit_bias={7: -100.0})
    listener.last()
    tokens = [token for update in listener.seen for token in update.committed]
    assert len(tokens) == 16
    for token in tokens:
        logprobs = [one.logprob for one in token.top]
        assert (len(token.top), logprobs) == (3, sorted(logprobs, reverse=True))
        assert {one.id: one.logprob for one in token.top}.get(token.id, token.logprob) == token.logprob


def test_a_bias_bans_a_token_and_forces_another(submit: Any) -> None:
    plain = submit(PROMPT).last().canvas
    assert plain[0] not in submit(PROMPT, logit_bias={plain[0]: -100.0}).last().canvas
    assert set(submit(PROMPT, logit_bias={11: 100.0}).last().canvas) == {11}


def test_a_suffix_is_seen_and_kept(submit: Any) -> None:
    suffix = [MASK, END, 11, 12]
    assert submit(PROMPT, suffix=suffix).last().canvas != submit(PROMPT).last().canvas
    listener = submit(PROMPT, suffix=suffix, kv_cache=CacheMode.PREFIX, block_length=4)
    assert len(listener.last().canvas) == 16
    assert listener.request.canvas.streams[0].tolist() == [*PROMPT, *listener.seen[-1].canvas, *suffix]


def test_an_engine_that_has_done_its_work_rests(engine: Engine, submit: Any) -> None:
    submit(PROMPT).last()
    assert engine.stop()
    assert engine.progress.resting
