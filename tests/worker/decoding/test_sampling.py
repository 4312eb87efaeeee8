from typing import Any

import pytest
import torch
from torch import Tensor

from worker.decoding.sampling import SamplingKnobs, choose_tokens

MASK = 7
LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -2.0, 1.5, 9.0])


def draw(count: int, **changed: Any) -> Tensor:
    """Samples of the same distribution at `count` positions."""
    knobs = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "seeds": 1, "steps": 0} | changed
    columns = {
        name: torch.full((count,), value, dtype=torch.float64 if name in ("temperature", "top_p") else torch.int64)
        for name, value in knobs.items()
    }
    positions = torch.arange(count)
    return choose_tokens(LOGITS.repeat(count, 1), MASK, SamplingKnobs(**columns, positions=positions))


def shares(tokens: Tensor) -> Tensor:
    return tokens.bincount(minlength=len(LOGITS)) / len(tokens)


def expected(temperature: float = 1.0, among: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)) -> Tensor:
    kept = torch.full_like(LOGITS, -torch.inf)
    kept[list(among)] = LOGITS[list(among)]
    return (kept / temperature).softmax(-1)


def test_without_temperature_the_likeliest_token_is_taken_but_never_the_mask() -> None:
    assert draw(3, temperature=0.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_follow_the_softmax(temperature: float) -> None:
    assert shares(draw(40_000, temperature=temperature)) == pytest.approx(expected(temperature), abs=0.01)


def test_top_k_samples_from_the_likeliest_tokens() -> None:
    assert shares(draw(40_000, top_k=3)) == pytest.approx(expected(among=(0, 1, 6)), abs=0.01)


def test_top_p_samples_from_the_smallest_set_that_reaches_it() -> None:
    # The likeliest have 0.41, 0.25 and 0.15 of the whole: two are not enough for 0.7, three are.
    assert shares(draw(40_000, top_p=0.7)) == pytest.approx(expected(among=(0, 1, 6)), abs=0.01)


def test_a_tiny_top_p_leaves_the_likeliest_token() -> None:
    assert set(draw(100, top_p=1e-9).tolist()) == {0}


def test_seed_and_step_and_position_each_change_the_sample() -> None:
    assert draw(200).tolist() != draw(200, seeds=2).tolist()
    assert draw(200).tolist() != draw(200, steps=1).tolist()
    assert len(set(draw(200).tolist())) > 1


def test_a_sample_depends_on_nothing_else_in_the_batch() -> None:
    assert draw(50).tolist() == draw(200)[:50].tolist()
