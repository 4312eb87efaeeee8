from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from router.workers.balancer import Balancer


def test_the_worker_with_the_least_outstanding_work_is_chosen() -> None:
    balancer = Balancer[str]()
    with balancer.lease("ab", 100) as first, balancer.lease("ab", 10) as second, balancer.lease("ab", 10) as third:
        assert [first, second, third] == ["a", "b", "b"]


def test_equals_take_turns() -> None:
    balancer, chosen = Balancer[str](), []
    for _ in range(6):
        with balancer.lease("abc", 5) as worker:
            chosen.append(worker)
    assert chosen == list("abcabc")


@given(st.lists(st.integers(1, 1000), max_size=30))
def test_work_that_is_over_counts_no_more(sizes: list[int]) -> None:
    balancer = Balancer[str]()
    with ExitStack() as stack:
        for size in sizes:
            stack.enter_context(balancer.lease("abc", size))
        assert sum(map(balancer.outstanding, "abc")) == sum(sizes)
    assert sum(map(balancer.outstanding, "abc")) == 0
