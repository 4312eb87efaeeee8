import pytest
import torch

from tests.unit.worker.decoding.drawing import sampling_tensors
from worker.decoding.sampling import choose_tokens

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -2.0, 1.5])


def draw(count: int, **changed: float) -> list[int]:
    """Samples of the same distribution at `count` positions."""
    return choose_tokens(LOGITS.repeat(count, 1), sampling_tensors(count, **{"temperature": 1.0} | changed)).tolist()


def test_without_temperature_the_likeliest_token_is_taken() -> None:
    assert draw(3, temperature=0.0) == [0, 0, 0]


@pytest.mark.parametrize("vocabulary", [7, 320, 1000, 32_000])
def test_of_equal_logits_the_first_is_taken_whatever_the_vocabulary(vocabulary: int) -> None:
    logits = torch.randn(5, vocabulary).round()
    assert choose_tokens(logits, sampling_tensors(5)).tolist() == [row.index(max(row)) for row in logits.tolist()]


def test_a_tiny_top_p_leaves_the_likeliest_token() -> None:
    assert set(draw(100, top_p=1e-9)) == {0}


def test_seed_and_step_and_position_each_change_the_sample() -> None:
    assert draw(200) != draw(200, seeds=2)
    assert draw(200) != draw(200, steps=1)
    assert len(set(draw(200))) > 1


def test_a_sample_depends_on_nothing_else_in_the_batch() -> None:
    assert draw(50) == draw(200)[:50]
    some = torch.tensor([1, 3])
    mixed = sampling_tensors(5, temperature=1.0, sampled_rows=some)
    assert choose_tokens(LOGITS.repeat(5, 1), mixed).tolist() == [
        token if row in some else 0 for row, token in enumerate(draw(5))
    ]


def test_filters_of_some_rows_leave_the_others_alone() -> None:
    free, bound = draw(300), draw(300, top_k=1)
    mixed = sampling_tensors(300, temperature=1.0, top_k=1, filtered_rows=torch.arange(0, 300, 2))
    assert set(bound) == {0}
    assert choose_tokens(LOGITS.repeat(300, 1), mixed).tolist() == [
        token if row % 2 else 0 for row, token in enumerate(free)
    ]
