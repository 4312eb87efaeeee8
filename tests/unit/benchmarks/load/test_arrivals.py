import math
import random
from itertools import pairwise
from statistics import mean, pstdev

import pytest

from benchmarks.load.arrivals import arrivals


def gaps(burstiness: float) -> list[float]:
    moments = arrivals(50, random.Random(0), burstiness=burstiness, requests=20_000)
    return [later - earlier for earlier, later in pairwise([0.0, *moments])]


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gaps_are_as_long_as_the_rate_says_and_spread_as_the_burstiness_says(burstiness: float) -> None:
    drawn = gaps(burstiness)
    assert mean(drawn) == pytest.approx(1 / 50, rel=0.05)
    assert pstdev(drawn) / mean(drawn) == pytest.approx(1 / math.sqrt(burstiness), rel=0.05)


def test_a_poisson_process_has_as_many_short_gaps_as_an_exponential_distribution() -> None:
    drawn = gaps(1.0)
    assert sum(gap < 0.01 for gap in drawn) / len(drawn) == pytest.approx(1 - math.exp(-0.5), abs=0.01)


def test_there_are_as_many_as_were_asked_for_or_as_fit_into_the_seconds() -> None:
    assert len(arrivals(10, random.Random(0), requests=7)) == 7
    moments = arrivals(10, random.Random(0), seconds=100)
    assert len(moments) == pytest.approx(1000, rel=0.1)
    assert 0 < moments[0] <= moments[-1] < 100
    assert moments == sorted(moments)
    assert arrivals(10, random.Random(0), requests=7, seconds=100) == moments[:7]
    assert len(arrivals(10, random.Random(0), requests=7, seconds=0.1)) < 7


def test_an_infinite_rate_is_all_at_once() -> None:
    assert arrivals(math.inf, random.Random(0), requests=3) == [0, 0, 0]


@pytest.mark.parametrize(("rate", "seconds"), [(10, math.inf), (math.inf, 5)])
def test_what_would_never_end_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="bounded"):
        arrivals(rate, random.Random(0), seconds=seconds)
