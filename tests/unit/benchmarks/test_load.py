import math
from itertools import pairwise
from statistics import mean, pstdev

import pytest

from benchmarks.load import Distribution, arrivals


def test_gaps_are_as_long_as_the_rate_says_and_spread_as_those_of_a_poisson_process() -> None:
    gaps = [later - earlier for earlier, later in pairwise([0.0, *arrivals(50, 400, "0")])]
    assert mean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert pstdev(gaps) / mean(gaps) == pytest.approx(1, rel=0.05)
    assert sum(gap < 0.01 for gap in gaps) / len(gaps) == pytest.approx(1 - math.exp(-0.5), abs=0.01)


def test_there_are_as_many_as_fit_into_the_seconds_and_a_seed_gives_the_same_again() -> None:
    moments = arrivals(10, 100, "0")
    assert len(moments) == pytest.approx(1000, rel=0.1)
    assert 0 < moments[0] <= moments[-1] < 100
    assert moments == sorted(moments) == arrivals(10, 100, "0") != arrivals(10, 100, "1")


def test_seconds_become_milliseconds_and_percentiles_lie_between_neighbours() -> None:
    figures = Distribution.of([second / 1000 for second in range(101)])
    assert figures == Distribution(mean=50, median=50, p90=90, p95=95, p99=99, max=100)
    between = Distribution.of([0.0, 0.001])
    assert between
    assert between.p90 == pytest.approx(0.9)


def test_the_order_does_not_matter_and_one_value_is_all_of_them() -> None:
    assert Distribution.of([3, 1, 2]) == Distribution.of([1, 2, 3])
    assert Distribution.of([0.5]) == Distribution(mean=500, median=500, p90=500, p95=500, p99=500, max=500)


def test_of_nothing_there_is_none() -> None:
    assert Distribution.of([]) is None
