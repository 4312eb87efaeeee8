import pytest

from launcher.restarts import FIRST_DELAY_SECONDS, LEAST_SHARE, LONGEST_DELAY_SECONDS, Restarts
from testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


def test_a_process_that_had_served_is_back_after_the_first_delay(clock: Clock) -> None:
    restarts = Restarts(budget=9, window_seconds=60, clock=clock, draw=lambda: 1.0)
    for _ in range(3):
        restarts.served()
        assert restarts.died() == FIRST_DELAY_SECONDS


def test_a_process_that_does_not_get_that_far_waits_twice_as_long_each_time(clock: Clock) -> None:
    restarts = Restarts(budget=9, window_seconds=60, clock=clock, draw=lambda: 1.0)
    assert [restarts.died() for _ in range(4)] == [1, 2, 4, 8]
    restarts.served()
    assert restarts.died() == 1


def test_no_delay_is_longer_than_the_longest_however_often_it_fails(clock: Clock) -> None:
    restarts = Restarts(budget=5000, window_seconds=60, clock=clock, draw=lambda: 1.0)
    assert [restarts.died() for _ in range(2000)][-1] == LONGEST_DELAY_SECONDS


def test_chance_shortens_a_delay_by_no_more_than_its_share(clock: Clock) -> None:
    shortest = Restarts(budget=9, window_seconds=60, clock=clock, draw=lambda: 0.0)
    assert shortest.died() == FIRST_DELAY_SECONDS * LEAST_SHARE
    drawn = {Restarts(budget=9, window_seconds=60, clock=clock).died() for _ in range(9)}
    assert len(drawn) > 1


def test_a_process_that_dies_too_often_is_not_started_again(clock: Clock) -> None:
    restarts = Restarts(budget=2, window_seconds=60, clock=clock)
    assert restarts.died() is not None
    assert restarts.died() is not None
    assert restarts.died() is None
    assert restarts.deaths == 3


def test_deaths_of_long_ago_do_not_count(clock: Clock) -> None:
    restarts = Restarts(budget=1, window_seconds=60, clock=clock)
    for clock.now in (0, 61, 122):
        assert restarts.died() is not None
    clock.now = 180
    assert restarts.died() is None


def test_a_budget_of_0_allows_no_death_at_all(clock: Clock) -> None:
    assert Restarts(budget=0, window_seconds=60, clock=clock).died() is None
