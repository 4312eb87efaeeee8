from itertools import pairwise

import pytest

from router.workers.families import size_bounds
from worker.engine.engine import _size_class


def test_batch_sizes_lie_side_by_side() -> None:
    bounds = list(size_bounds([0] * 6))
    assert bounds == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32)]
    assert all(high + 1 == low for (_, high), (low, _) in pairwise(bounds))


@pytest.mark.parametrize("requests", [1, 2, 3, 4, 5, 8, 9, 16, 17, 1000])
def test_router_and_worker_mean_the_same_batch_sizes(requests: int) -> None:
    low, high = list(size_bounds([0] * 20))[_size_class(requests)]
    assert low <= requests <= high
