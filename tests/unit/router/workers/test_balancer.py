from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hypothesis import given
from hypothesis import strategies as st

from router.workers.balancer import Balancer


@contextmanager
def leased(balancer: Balancer[str], candidates: str, positions: int) -> Iterator[str]:
    worker = balancer.choose(candidates)
    with balancer.lease(worker, positions):
        yield worker


def test_the_worker_with_the_least_outstanding_work_is_chosen() -> None:
    balancer = Balancer[str]()
    with (
        leased(balancer, "ab", 100) as first,
        leased(balancer, "ab", 10) as second,
        leased(balancer, "ab", 10) as third,
    ):
        assert [first, second, third] == ["a", "b", "b"]


def test_equals_take_turns() -> None:
    balancer = Balancer[str]()
    assert [balancer.choose("abc") for _ in range(6)] == list("abcabc")


def test_of_those_who_have_left_only_what_they_still_have_to_do_is_known() -> None:
    balancer = Balancer[str]()
    with leased(balancer, "a", 10):
        with leased(balancer, "b", 10):
            balancer.keep("c")
            assert [*map(balancer.outstanding, "ab")] == [10, 10]
        balancer.keep("c")
        assert balancer._outstanding == {"a": 10}
    balancer.keep("c")
    assert (balancer._outstanding, balancer._last_turn) == ({}, {})


@given(st.lists(st.integers(1, 1000), max_size=30))
def test_work_that_is_over_counts_no_more(sizes: list[int]) -> None:
    balancer = Balancer[str]()
    with ExitStack() as stack:
        for size in sizes:
            stack.enter_context(leased(balancer, "abc", size))
        assert sum(map(balancer.outstanding, "abc")) == sum(sizes)
    assert sum(map(balancer.outstanding, "abc")) == 0
