import pytest

from benchmarks.load.distribution import Distribution


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
