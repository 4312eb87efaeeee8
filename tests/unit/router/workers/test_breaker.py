from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.workers.breaker import FAILURES_TO_OPEN, OPEN_SECONDS, Breaker
from testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with breaker.call() as call:
            call.failed()


def succeed(breaker: Breaker) -> None:
    with breaker.call() as call:
        call.succeeded()


def opened(breaker: Breaker) -> Breaker:
    fail(breaker, FAILURES_TO_OPEN)
    return breaker


def test_failures_one_after_the_other_open_it(breaker: Breaker) -> None:
    fail(breaker, FAILURES_TO_OPEN - 1)
    assert breaker.takes_calls
    fail(breaker)
    assert breaker.is_open
    assert not breaker.takes_calls


def test_a_success_begins_the_count_anew(breaker: Breaker) -> None:
    for _ in range(3):
        fail(breaker, FAILURES_TO_OPEN - 1)
        succeed(breaker)
    assert not breaker.is_open


def test_a_call_that_tells_nothing_neither_counts_nor_begins_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, FAILURES_TO_OPEN - 1)
    with breaker.call():
        pass
    assert not breaker.is_open
    fail(breaker)
    assert breaker.is_open


def test_it_says_how_long_it_stays_open(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    assert breaker.seconds_to_wait == OPEN_SECONDS
    clock.now += OPEN_SECONDS - 1
    assert breaker.seconds_to_wait == 1
    assert not breaker.takes_calls
    clock.now += 1
    assert breaker.takes_calls


def test_one_call_is_on_trial_and_the_others_stay_away_until_it_is_over(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    with breaker.call() as call:
        clock.now += 1000
        assert not breaker.takes_calls
        assert breaker.seconds_to_wait == OPEN_SECONDS
        call.succeeded()
    assert not breaker.is_open


def test_a_trial_is_over_at_the_first_word_of_its_reply(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    with breaker.call() as call:
        call.answered()
        assert not breaker.is_open
        fail(breaker, FAILURES_TO_OPEN - 1)
    assert breaker.takes_calls


def test_the_first_word_of_a_call_that_is_not_on_trial_is_no_success_yet(breaker: Breaker) -> None:
    """A worker may fail all its requests in the middle."""
    for _ in range(FAILURES_TO_OPEN):
        with breaker.call() as call:
            call.answered()
            call.failed()
    assert breaker.is_open


def test_a_call_that_began_before_it_opened_does_not_close_it_with_its_first_word(breaker: Breaker) -> None:
    with breaker.call() as early:
        opened(breaker)
        early.answered()
        assert breaker.is_open


def test_a_failed_trial_opens_it_for_as_long_again(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS + 5
    fail(breaker)
    assert breaker.seconds_to_wait == OPEN_SECONDS


def test_a_trial_that_is_cancelled_gives_its_turn_back(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    with pytest.raises(KeyboardInterrupt), breaker.call():
        raise KeyboardInterrupt
    assert breaker.is_open
    assert breaker.takes_calls


def test_calls_that_began_before_it_opened_neither_close_nor_prolong_it(breaker: Breaker, clock: Clock) -> None:
    with breaker.call() as early, breaker.call() as other:
        opened(breaker)
        clock.now += OPEN_SECONDS - 1
        early.failed()
        other.succeeded()
    assert breaker.is_open
    assert breaker.seconds_to_wait == 1


def test_failures_of_a_worker_that_has_been_replaced_do_not_count(breaker: Breaker) -> None:
    with ExitStack() as stack:
        calls = [stack.enter_context(breaker.call()) for _ in range(2 * FAILURES_TO_OPEN)]
        breaker.reset()
        for call in calls:
            call.failed()
    assert not breaker.is_open
    fail(breaker, FAILURES_TO_OPEN - 1)
    assert not breaker.is_open


def test_a_trial_that_outlives_a_reset_does_not_open_it(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    with breaker.call() as call:
        breaker.reset()
        assert breaker.takes_calls
        call.failed()
    assert not breaker.is_open


def test_the_trial_of_an_earlier_opening_does_not_end_the_one_of_a_later(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += OPEN_SECONDS
    with ExitStack() as stack:
        stack.enter_context(breaker.call())
        breaker.reset()
        opened(breaker)
        clock.now += OPEN_SECONDS
        with breaker.call():
            stack.close()
            assert not breaker.takes_calls


class AnyHistory(RuleBasedStateMachine):
    """Calls begin and end in any order, while time passes and the worker begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.running: list[tuple[Any, Any]] = []
        self.on_trial: Any = None

    @precondition(lambda self: self.breaker.takes_calls)
    @rule()
    def begin(self) -> None:
        was_open = self.breaker.is_open
        context = self.breaker.call()
        self.running.append((context, context.__enter__()))
        if was_open:
            self.on_trial = context

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", None]))
    def end(self, data: Any, outcome: str | None) -> None:
        context, call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if outcome:
            getattr(call, outcome)()
        context.__exit__(None, None, None)
        if context is self.on_trial:
            self.on_trial = None

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def answer(self, data: Any) -> None:
        context, call = self.running[data.draw(st.integers(0, len(self.running) - 1))]
        call.answered()
        if context is self.on_trial:
            assert not self.breaker.is_open
            self.on_trial = None

    @rule(seconds=st.floats(0, 2 * OPEN_SECONDS))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def reset(self) -> None:
        self.breaker.reset()
        self.on_trial = None
        assert self.breaker.takes_calls

    @invariant()
    def an_open_one_has_at_most_one_call_on_trial(self) -> None:
        if self.on_trial:
            assert self.breaker.is_open
            assert not self.breaker.takes_calls

    @invariant()
    def it_never_stays_open_for_ever(self) -> None:
        assert 0 <= self.breaker.seconds_to_wait <= OPEN_SECONDS
        if not self.on_trial:
            before = self.clock.now
            self.clock.now += OPEN_SECONDS
            assert self.breaker.takes_calls
            self.clock.now = before


test_whatever_happens_at_most_one_call_is_on_trial = AnyHistory.TestCase
