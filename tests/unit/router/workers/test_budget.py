import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.workers.budget import EARNED_BY_A_REQUEST, LEAST_BURST, RetryBudget


def spent_at_once(budget: RetryBudget) -> int:
    count = 0
    while budget.affordable:
        budget.spend()
        count += 1
    return count


@pytest.mark.parametrize("places", [0, 3, 10, 32, 1000])
def test_what_all_workers_run_may_be_retried_at_once(places: int) -> None:
    assert spent_at_once(RetryBudget(lambda: places)) == max(places, LEAST_BURST)


def test_ten_requests_pay_for_one_retry() -> None:
    budget = RetryBudget(lambda: 0)
    spent_at_once(budget)
    for _ in range(9):
        budget.earn()
    assert not budget.affordable
    budget.earn()
    budget.earn()  # a tenth ten times is, for a computer, not quite one
    assert spent_at_once(budget) == 1


def test_nobody_saves_more_than_the_burst() -> None:
    budget = RetryBudget(lambda: 20)
    for _ in range(1000):
        budget.earn()
    assert spent_at_once(budget) == 20


def test_workers_that_come_bring_their_retries_with_them() -> None:
    places = 0
    budget = RetryBudget(lambda: places)
    spent_at_once(budget)
    places = 16
    assert spent_at_once(budget) == 16 - LEAST_BURST


def test_what_was_spent_stays_spent_when_workers_go() -> None:
    places = 32
    budget = RetryBudget(lambda: places)
    spent_at_once(budget)
    places = 16
    assert not budget.affordable


@given(st.lists(st.booleans(), max_size=500), st.integers(0, 100))
def test_beyond_the_burst_retries_are_a_tenth_of_the_requests(history: list[bool], places: int) -> None:
    budget = RetryBudget(lambda: places)
    requests = retries = 0
    for is_retry in history:
        if is_retry and budget.affordable:
            budget.spend()
            retries += 1
        elif not is_retry:
            requests += 1
            budget.earn()
        assert retries <= max(places, LEAST_BURST) + EARNED_BY_A_REQUEST * requests + 1e-9
