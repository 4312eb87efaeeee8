from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.canvas.canvas import Canvas
from worker.canvas.policy import Pass, Segment
from worker.canvas.semi_autoregressive import SemiAutoregressive
from worker.sampling_params import CacheMode, CanvasMode, Remasking, SamplingParams

MASK, END = 9, 7


def begin(cfg_scale: float = 0.0, **options: Any) -> tuple[Canvas, SemiAutoregressive]:
    params = SamplingParams(**{"gen_length": 8, "block_length": 4, "steps": 8} | options, cfg_scale=cfg_scale)
    growing = params.canvas is CanvasMode.GROW
    canvas = Canvas(
        [1] * 3,
        [] if growing else [1],
        gen_length=params.gen_length,
        mask_token_id=MASK,
        end_token_ids={END},
        guided=bool(cfg_scale),
        growing=growing,
    )
    return canvas, SemiAutoregressive(canvas, params)


def commit(canvas: Canvas, policy: SemiAutoregressive, next_pass: Pass) -> int:
    """Commit the fewest that the rule allows, the first ones."""
    chosen = next_pass.candidates[: min(next_pass.rule.least, next_pass.rule.most)]
    policy.apply(canvas, chosen, [1] * len(chosen))
    return len(chosen)


@pytest.mark.parametrize(
    ("cache", "later"),
    [(CacheMode.NONE, Segment(0, 12, 12)), (CacheMode.PREFIX, Segment(3, 12, 12)), (CacheMode.DUAL, Segment(3, 7, 12))],
)
def test_a_block_begins_with_the_whole_canvas_and_goes_on_with_what_its_cache_leaves(
    cache: CacheMode, later: Segment
) -> None:
    canvas, policy = begin(kv_cache=cache)
    first = policy.next_pass(canvas)
    assert (list(first.segments), first.cost, first.candidates.tolist()) == (
        [Segment(0, 12, 12)],
        "refresh",
        [3, 4, 5, 6],
    )
    commit(canvas, policy, first)
    second = policy.next_pass(canvas)
    assert (list(second.segments), second.candidates.tolist()) == ([later], [4, 5, 6])
    assert second.cost == ("refresh" if cache is CacheMode.NONE else "cached")
    assert second.rows <= policy.max_cached_rows(canvas) or cache is CacheMode.NONE


def test_with_guidance_each_pass_and_the_reservation_are_there_twice() -> None:
    canvas, policy = begin(cfg_scale=1.0, kv_cache=CacheMode.DUAL)
    assert list(policy.next_pass(canvas).segments) == [Segment(0, 12, 12, 0), Segment(0, 12, 12, 1)]
    assert policy.reserved_positions(canvas) == 24


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 60),
    st.sampled_from(CacheMode),
    st.none() | st.integers(1, 5),
)
def test_every_canvas_is_filled_block_by_block_in_as_many_passes_as_steps(
    gen_length: int, block_length: int, steps: int, cache: CacheMode, limit: int | None
) -> None:
    canvas, policy = begin(
        gen_length=gen_length,
        block_length=block_length,
        steps=steps,
        kv_cache=cache,
        max_parallel_tokens=limit,
    )
    passes = 0
    while not canvas.is_full:
        next_pass = policy.next_pass(canvas)
        masked_before = canvas.masked(canvas.start, int(next_pass.candidates[0]))
        assert not len(masked_before), "an earlier block is not done"
        assert commit(canvas, policy, next_pass) > 0
        passes += 1
    blocks = -(-gen_length // block_length)
    if limit is None:
        assert passes <= max(steps, blocks)


def test_with_a_threshold_a_step_commits_one_at_least_and_with_a_limit_no_more_than_that() -> None:
    canvas, policy = begin(threshold=0.9, max_parallel_tokens=2)
    rule = policy.next_pass(canvas).rule
    assert (rule.least, rule.most, rule.threshold, rule.factor) == (1, 2, 0.9, None)


@pytest.mark.parametrize("cache", CacheMode)
def test_a_growing_canvas_has_no_mask_behind_its_block_and_needs_no_more_than_it_reserved(cache: CacheMode) -> None:
    canvas, policy = begin(canvas=CanvasMode.GROW, kv_cache=cache, gen_length=10, steps_per_block=2)
    assert policy.reserved_positions(canvas) == 13
    while not canvas.is_full:
        next_pass = policy.next_pass(canvas)
        (segment,) = next_pass.segments
        assert segment.end == segment.context_end == canvas.length == next_pass.candidates[-1] + 1
        assert next_pass.cost == "refresh" or next_pass.rows <= policy.max_cached_rows(canvas)
        assert next_pass.cost == ("refresh" if segment.start == 0 else "cached")
        commit(canvas, policy, next_pass)
    assert canvas.length == 13


def test_a_growing_canvas_stays_as_it_is_once_the_reply_has_ended() -> None:
    canvas, policy = begin(canvas=CanvasMode.GROW, steps_per_block=1)
    policy.apply(canvas, policy.next_pass(canvas).candidates, [1, END, 1, 1])
    assert (canvas.is_ended, canvas.length, canvas.ready) == (True, 7, 1)


def passes_of(**options: Any) -> list[int]:
    """The least that each pass commits."""
    canvas, policy = begin(**options)
    shares = []
    while not canvas.is_full:
        shares.append(commit(canvas, policy, policy.next_pass(canvas)))
    return shares


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({"steps_per_block": 3}, [2, 1, 1, 2, 1, 1]),
        ({"steps_per_block": 9}, [1] * 8),
        ({"canvas": CanvasMode.GROW, "steps": 4}, [2, 2, 2, 2]),
        ({"canvas": CanvasMode.GROW, "steps": 1}, [4, 4]),
        ({"canvas": CanvasMode.GROW, "gen_length": 6, "steps": 5}, [2, 1, 1, 1, 1]),
        ({"steps": 8, "min_parallel_tokens": 3}, [3, 1, 3, 1]),
        ({"threshold": 0.9, "min_parallel_tokens": 2}, [2, 2, 2, 2]),
    ],
)
def test_steps_become_shares_of_a_block(options: dict[str, Any], shares: list[int]) -> None:
    assert passes_of(**options) == shares


def test_sequential_commits_are_said_by_the_rule() -> None:
    canvas, policy = begin(remasking=Remasking.SEQUENTIAL)
    assert policy.next_pass(canvas).rule.sequential
