import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worker.decoding.commit import choose_positions

NOT_MASKED = -torch.inf
scores = st.lists(st.one_of(st.just(NOT_MASKED), st.floats(0, 1)), min_size=1, max_size=12)


def numbers(*values: float | None) -> Tensor:
    return torch.tensor([torch.nan if value is None else value for value in values], dtype=torch.float64)


def choose(
    confidences: list[float], quota: int, threshold: float | None = None, factor: float | None = None
) -> list[bool]:
    scores = torch.tensor([confidences], dtype=torch.float64)
    least = torch.tensor([quota if threshold is None and factor is None else 1])
    chosen = choose_positions(scores, least, torch.tensor([quota]), numbers(threshold), numbers(factor))
    return [bool(one) for one in chosen[0]]


@given(scores, st.integers(0, 12))
def test_the_quota_takes_the_surest_masked_positions(confidences: list[float], quota: int) -> None:
    chosen = choose(confidences, quota)
    masked = [score for score in confidences if score > NOT_MASKED]
    taken = [score for score, is_chosen in zip(confidences, chosen, strict=True) if is_chosen]
    assert sorted(taken) == sorted(masked, reverse=True)[:quota][::-1]


@given(scores, st.floats(0, 1))
def test_a_threshold_takes_the_surest_and_all_that_reach_it(confidences: list[float], threshold: float) -> None:
    chosen = choose(confidences, len(confidences), threshold)
    masked = sorted((score for score in confidences if score > NOT_MASKED), reverse=True)
    taken = [score for score, is_chosen in zip(confidences, chosen, strict=True) if is_chosen]
    assert sorted(taken, reverse=True) == masked[:1] + [score for score in masked[1:] if score >= threshold]


@given(scores, st.floats(0, 5))
def test_a_factor_takes_the_largest_number_that_keeps_the_bound(confidences: list[float], factor: float) -> None:
    chosen = choose(confidences, len(confidences), factor=factor)
    masked = sorted((score for score in confidences if score > NOT_MASKED), reverse=True)
    kept = [n for n, score in enumerate(masked, start=1) if (n + 1) * (1 - score) < factor]
    assert sum(chosen) == min(len(masked), max([1, *kept]))


def test_a_limit_bounds_every_rule() -> None:
    assert sum(choose([0.9, 0.8, 0.95, 0.99], 2, threshold=0.5)) == 2
    assert sum(choose([0.9, 0.8, 0.95, 0.99], 2, factor=50)) == 2


def test_what_is_not_a_number_is_never_committed() -> None:
    assert choose([torch.nan, 0.5, torch.nan], 3) == [False, True, False]


def test_the_surest_are_committed_up_to_the_least_and_all_that_pass_beyond() -> None:
    confidences = torch.tensor([[0.9, 0.8, 0.7, 0.1]], dtype=torch.float64)
    least, most = torch.tensor([2]), torch.tensor([4])
    for threshold, expected in ((0.95, 2), (0.7, 3), (0.0, 4)):
        assert choose_positions(confidences, least, most, numbers(threshold), numbers(None)).sum() == expected


def test_requests_in_one_batch_follow_their_own_rules() -> None:
    confidences = torch.tensor([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.2, NOT_MASKED, 0.1], [0.9, 0.8, 0.7]])
    factors = numbers(None, None, None, 0.7)
    least, most = torch.tensor([[1, 1, 1, 1], [1, 3, 3, 3]])
    chosen = choose_positions(confidences, least, most, numbers(None, 0.75, 0.9, None), factors)
    assert chosen.tolist() == [[True, False, False], [True, True, False], [True, False, False], [True, True, False]]


@given(scores, st.integers(0, 12), st.integers(1, 12), st.none() | st.floats(0, 1))
def test_sequential_commits_go_from_left_to_right_to_the_first_that_does_not_pass(
    confidences: list[float], least: int, most: int, threshold: float | None
) -> None:
    chosen = choose_positions(
        torch.tensor([confidences], dtype=torch.float64),
        torch.tensor([least]),
        torch.tensor([most]),
        numbers(threshold),
        numbers(None),
        sequential=torch.tensor([True]),
    )
    masked = [place for place, score in enumerate(confidences) if score > NOT_MASKED]
    passing = 0
    while passing < len(masked) and (
        passing < least or (threshold is not None and confidences[masked[passing]] >= threshold)
    ):
        passing += 1
    assert chosen[0].nonzero()[:, 0].tolist() == masked[: min(passing, most)]


def test_sequential_and_other_requests_share_a_step() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.1, 0.9]], dtype=torch.float64)
    one = torch.tensor([1, 1])
    chosen = choose_positions(
        scores, one, one, numbers(None, None), numbers(None, None), sequential=torch.tensor([True, False])
    )
    assert chosen.tolist() == [[True, False], [False, True]]
