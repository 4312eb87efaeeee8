import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import NoHealthyWorkersError, QueueTimeoutError, ServerOverloadedError
from router.generation.admission import Admission, Queues, Ticket
from testing.waiting import eventually


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def admission_with(
    slots: int, max_waiting: int, max_wait: float = 1000, clock: Callable[[], float] | None = None
) -> Admission:
    return Admission(lambda: slots, max_waiting, max_wait, clock or Clock())


async def hold(admission: Admission, name: str, order: list[str], leave: asyncio.Event) -> None:
    with admission.tickets(1) as (ticket,):
        async with ticket.slot(10):
            order.append(name)
            await leave.wait()


async def test_more_than_run_and_wait_are_refused_at_once() -> None:
    admission, leave, order = admission_with(1, 1), asyncio.Event(), list[str]()
    tasks = [asyncio.create_task(hold(admission, name, order, leave)) for name in "ab"]
    await eventually(lambda: admission.waiting == 1)
    with pytest.raises(ServerOverloadedError), admission.tickets(1):
        pass
    leave.set()
    await asyncio.gather(*tasks)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_those_who_wait_are_admitted_in_the_order_in_which_they_came() -> None:
    admission, leave, order = admission_with(1, 9), asyncio.Event(), list[str]()
    tasks = [asyncio.create_task(hold(admission, name, order, leave)) for name in "abcde"]
    leave.set()
    await asyncio.gather(*tasks)
    assert order == list("abcde")


async def test_nobody_overtakes_the_queue() -> None:
    admission, leave, order = admission_with(1, 9), asyncio.Event(), list[str]()
    with admission.tickets(1):
        waiting = asyncio.create_task(hold(admission, "waited", order, leave))
        await eventually(lambda: admission.waiting == 1)
    late = asyncio.create_task(hold(admission, "late", order, leave))
    leave.set()
    await asyncio.gather(waiting, late)
    assert order == ["waited", "late"]


async def test_who_waits_too_long_is_told_so_and_leaves_the_queue() -> None:
    admission = admission_with(1, 1)
    with admission.tickets(1):
        with admission.tickets(1) as (late,), pytest.raises(QueueTimeoutError):
            async with late.slot(0.01):
                pass
        assert admission.waiting == 0
    assert admission.running == 0


async def test_a_client_that_leaves_the_queue_frees_its_place() -> None:
    admission, order = admission_with(1, 1), list[str]()
    with admission.tickets(1):
        waiting = asyncio.create_task(hold(admission, "gone", order, asyncio.Event()))
        await eventually(lambda: admission.waiting == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert admission.waiting == 0
    assert (admission.running, order) == (0, [])


async def test_a_slot_that_arrives_as_its_waiter_leaves_goes_to_the_next() -> None:
    admission, order, leave = admission_with(1, 2), list[str](), asyncio.Event()
    leave.set()
    with ExitStack() as first:
        first.enter_context(admission.tickets(1))
        leaving, next_in_line = (asyncio.create_task(hold(admission, name, order, leave)) for name in ("gone", "next"))
        await eventually(lambda: admission.waiting == 2)
        first.close()
        leaving.cancel()
        ended, _ = await asyncio.gather(leaving, next_in_line, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)
    assert (admission.running, admission.waiting, order) == (0, 0, ["next"])


async def test_the_choices_of_one_request_take_a_slot_each_and_follow_one_another() -> None:
    admission = admission_with(2, 9)
    with admission.tickets(3) as tickets:
        assert (admission.running, admission.waiting) == (2, 1)
        async with tickets[0].slot(1):
            pass
        async with tickets[2].slot(1):
            assert (admission.running, admission.waiting) == (2, 0)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_request_with_more_choices_than_may_wait_is_taken_where_nobody_waits() -> None:
    admission = admission_with(1, 2)
    with admission.tickets(8), pytest.raises(ServerOverloadedError), admission.tickets(1):
        pass


async def test_with_no_queue_allowed_what_cannot_begin_is_refused() -> None:
    admission = admission_with(1, 0)
    with admission.tickets(1), pytest.raises(ServerOverloadedError), admission.tickets(1):
        pass


async def use(admission: Admission, clock: Clock, seconds: float, *, served: bool = True) -> None:
    with admission.tickets(1) as (ticket,):
        async with ticket.slot(1):
            clock.now += seconds
            ticket.served = served


async def test_who_would_wait_too_long_is_refused_and_told_for_how_long() -> None:
    clock = Clock()
    admission = admission_with(2, 100, max_wait=8, clock=clock)
    await use(admission, clock, seconds=10)  # held for 10 s in 2 slots: one becomes free every 5 s
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(admission.tickets(1))
        assert admission.expected_wait == 5
        held.enter_context(admission.tickets(1))
        with pytest.raises(ServerOverloadedError) as refused, admission.tickets(1):
            pass
    assert refused.value.headers["Retry-After"] == "10"


async def test_what_is_expected_follows_what_happens() -> None:
    clock = Clock()
    admission = admission_with(1, 100, clock=clock)
    await use(admission, clock, seconds=60)
    for _ in range(100):
        await use(admission, clock, seconds=1)
    assert 1 <= admission.expected_wait < 1.01


async def test_requests_that_were_never_served_teach_nothing() -> None:
    clock = Clock()
    admission = admission_with(1, 100, clock=clock)
    await use(admission, clock, seconds=10)
    for _ in range(100):
        await use(admission, clock, seconds=0, served=False)
    assert admission.expected_wait == 10


async def test_waiting_time_is_told_by_the_ticket() -> None:
    clock = Clock()
    admission = admission_with(1, 1, clock=clock)
    with ExitStack() as first:
        first.enter_context(admission.tickets(1))
        with admission.tickets(1) as (ticket,):
            clock.now = 3
            first.close()
            async with ticket.slot(1):
                assert ticket.waited == 3


async def test_slots_that_appear_later_are_handed_out_when_told_of() -> None:
    slots = 1
    queues = Queues(lambda _: Admission(lambda: slots, 5, 5, Clock()))
    with queues.of("m").tickets(2) as tickets:
        assert (queues.running, queues.waiting) == (1, 1)
        slots = 2
        queues.fill()
        assert (queues.running, queues.waiting) == (2, 0)
        async with AsyncExitStack() as held:
            for ticket in tickets:
                await held.enter_async_context(ticket.slot(0))
    assert queues.running == 0


async def test_where_there_are_no_slots_at_all_nobody_waits_for_one() -> None:
    with pytest.raises(NoHealthyWorkersError), admission_with(0, 9).tickets(1):
        pass


@given(st.lists(st.tuples(st.sampled_from(["come", "leave"]), st.integers(0, 5)), max_size=60), st.integers(1, 4))
async def test_however_they_come_and_go_no_slot_is_lost_or_lent_twice(
    events: list[tuple[str, int]], slots: int
) -> None:
    admission, there = admission_with(slots, 1000), list[tuple[ExitStack, list[Ticket]]]()
    for event, number in events:
        if event == "come":
            stack = ExitStack()
            there.append((stack, list(stack.enter_context(admission.tickets(number + 1)))))
        elif there:
            there.pop(number % len(there))[0].close()
        wanted = sum(len(tickets) for _, tickets in there)
        assert admission.running == min(slots, wanted)
        assert admission.waiting == wanted - admission.running
    for stack, _ in there:
        stack.close()
    assert (admission.running, admission.waiting) == (0, 0)
