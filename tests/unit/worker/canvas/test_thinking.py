from typing import Any

import numpy as np
import pytest

from worker.canvas.canvas import Canvas
from worker.canvas.policy import Boost
from worker.canvas.thinking import end_of_thinking_boost
from worker.sampling_params import SamplingParams

MASK = 9
IDS = (5, 5, 6)


def boost(generated: list[int], prompt: tuple[int, ...] = (1, 2), **options: Any) -> Boost | None:
    """What is added, where these tokens were generated so far."""
    options = {"end_of_thinking_ids": IDS, "end_of_thinking_boost": 8.0, "end_of_thinking_power": 1.0} | options
    params = SamplingParams(**{"gen_length": len(generated), "block_length": 4, "steps": 8} | options)
    canvas = Canvas(prompt, (), gen_length=len(generated), mask_token_id=MASK)
    canvas.fill(np.arange(canvas.start, canvas.end), generated)
    masked = canvas.masked(canvas.start, canvas.end)
    return end_of_thinking_boost(canvas, masked, params)


def test_the_leftmost_mask_is_lifted_by_the_share_of_the_span_up_to_it() -> None:
    assert boost([1, MASK, MASK, 1]) == Boost(position=3, token_id=5, amount=4.0)
    assert boost([1, MASK, MASK, 1], end_of_thinking_power=2.0) == Boost(3, 5, 2.0)


@pytest.mark.parametrize(("budget", "amount"), [(8, 2.0), (4, 4.0), (2, 8.0), (1, 8.0)])
def test_a_budget_stands_for_the_length_of_the_span_and_the_share_ends_at_one(budget: int, amount: float) -> None:
    assert boost([1, MASK, MASK, MASK], thinking_budget=budget) == Boost(3, 5, amount)


@pytest.mark.parametrize(
    ("before", "token"), [([1, 1], 5), ([1, 5], 5), ([5, 5], 6), ([5, 5, 5], 6), ([5, 1, 5], 5), ([5, 5, 1], 5)]
)
def test_a_beginning_that_stands_there_is_carried_on(before: list[int], token: int) -> None:
    found = boost([*before, MASK])
    assert found is not None
    assert found.token_id == token


def test_the_prompt_is_no_beginning_and_no_end_of_thinking() -> None:
    found = boost([MASK], prompt=(5, 5))
    assert found is not None
    assert found.token_id == 5
    assert boost([MASK], prompt=IDS) is not None


def test_nothing_is_added_once_thinking_has_ended_even_behind_a_gap() -> None:
    assert boost([MASK, *IDS]) is None


@pytest.mark.parametrize(
    "off", [{"end_of_thinking_boost": 0.0}, {"end_of_thinking_boost": -20.0}, {"end_of_thinking_ids": ()}]
)
def test_nothing_is_added_where_nothing_is_asked_for(off: dict[str, Any]) -> None:
    assert boost([MASK], **off) is None
