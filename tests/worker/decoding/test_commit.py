import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.decoding.commit import choose_positions

NOT_MASKED = -torch.inf
scores = st.lists(st.one_of(st.just(NOT_MASKED), st.floats(0, 1)), min_size=1, max_size=12)


def choose(confidences: list[float], quota: int, threshold: float | None) -> list[bool]:
    thresholds = torch.tensor([torch.nan if threshold is None else threshold], dtype=torch.float64)
    scores = torch.tensor([confidences], dtype=torch.float64)
    return choose_positions(scores, torch.tensor([quota]), thresholds)[0].tolist()


@given(scores, st.integers(0, 12))
def test_the_quota_takes_the_surest_masked_positions(confidences: list[float], quota: int) -> None:
    chosen = choose(confidences, quota, None)
    masked = [score for score in confidences if score > NOT_MASKED]
    taken = [score for score, is_chosen in zip(confidences, chosen, strict=True) if is_chosen]
    assert sorted(taken) == sorted(masked, reverse=True)[:quota][::-1]


@given(scores, st.floats(0, 1))
def test_a_threshold_takes_the_surest_and_all_that_reach_it(confidences: list[float], threshold: float) -> None:
    chosen = choose(confidences, len(confidences), threshold)
    masked = sorted((score for score in confidences if score > NOT_MASKED), reverse=True)
    taken = [score for score, is_chosen in zip(confidences, chosen, strict=True) if is_chosen]
    assert sorted(taken, reverse=True) == masked[:1] + [score for score in masked[1:] if score >= threshold]


def test_a_limit_bounds_a_threshold() -> None:
    assert sum(choose([0.9, 0.8, 0.95, 0.99], 2, 0.5)) == 2


def test_requests_in_one_batch_follow_their_own_rules() -> None:
    confidences = torch.tensor([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.2, NOT_MASKED, 0.1]])
    chosen = choose_positions(confidences, torch.tensor([1, 3, 3]), torch.tensor([torch.nan, 0.75, 0.9]))
    assert chosen.tolist() == [[True, False, False], [True, True, False], [True, False, False]]
