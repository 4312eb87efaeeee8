import asyncio
from contextlib import AsyncExitStack

import pytest

from router.admission import Admission
from router.errors import QueueTimeoutError, ServerOverloadedError
from tests.fakes.waiting import eventually


async def hold(admission: Admission, name: str, order: list[str], leave: asyncio.Event) -> None:
    async with admission.slot(10):
        order.append(name)
        await leave.wait()


async def test_more_than_run_and_wait_are_refused_at_once() -> None:
    admission, leave, order = Admission(1, 1), asyncio.Event(), list[str]()
    tasks = [asyncio.create_task(hold(admission, name, order, leave)) for name in "ab"]
    await eventually(lambda: admission.waiting == 1)
    with pytest.raises(ServerOverloadedError):
        async with admission.slot(10):
            pass
    leave.set()
    await asyncio.gather(*tasks)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_those_who_wait_are_admitted_in_the_order_in_which_they_came() -> None:
    admission, leave, order = Admission(1, 9), asyncio.Event(), list[str]()
    tasks = [asyncio.create_task(hold(admission, name, order, leave)) for name in "abcde"]
    leave.set()
    await asyncio.gather(*tasks)
    assert order == list("abcde")


async def test_nobody_overtakes_the_queue() -> None:
    admission, leave, order = Admission(1, 9), asyncio.Event(), list[str]()
    async with admission.slot(10):
        waiting = asyncio.create_task(hold(admission, "waited", order, leave))
        await eventually(lambda: admission.waiting == 1)
    late = asyncio.create_task(hold(admission, "late", order, leave))
    leave.set()
    await asyncio.gather(waiting, late)
    assert order == ["waited", "late"]


async def test_who_waits_too_long_is_told_so_and_leaves_the_queue() -> None:
    admission = Admission(1, 1)
    async with admission.slot(10):
        with pytest.raises(QueueTimeoutError):
            async with admission.slot(0.01):
                pass
        assert admission.waiting == 0
    assert admission.running == 0


async def test_a_client_that_leaves_the_queue_frees_its_place() -> None:
    admission, order = Admission(1, 1), list[str]()
    async with admission.slot(10):
        waiting = asyncio.create_task(hold(admission, "gone", order, asyncio.Event()))
        await eventually(lambda: admission.waiting == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert admission.waiting == 0
    assert (admission.running, order) == (0, [])


async def test_a_slot_that_arrives_as_its_waiter_leaves_is_passed_on() -> None:
    admission, order = Admission(1, 2), list[str]()
    async with AsyncExitStack() as first:
        await first.enter_async_context(admission.slot(10))
        leaving = asyncio.create_task(hold(admission, "gone", order, asyncio.Event()))
        await eventually(lambda: admission.waiting == 1)
        await first.aclose()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    assert (admission.running, order) == (0, [])


async def test_a_slot_that_comes_free_as_a_waiter_leaves_goes_to_the_next() -> None:
    admission, order, leave = Admission(1, 2), list[str](), asyncio.Event()
    leave.set()
    async with AsyncExitStack() as first:
        await first.enter_async_context(admission.slot(10))
        leaving, next_in_line = (asyncio.create_task(hold(admission, name, order, leave)) for name in ("gone", "next"))
        await eventually(lambda: admission.waiting == 2)
        leaving.cancel()
        await first.aclose()
        ended, _ = await asyncio.gather(leaving, next_in_line, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)
    assert (admission.running, admission.waiting, order) == (0, 0, ["next"])


async def test_a_waiter_that_leaves_as_its_time_is_up_gives_nothing_back() -> None:
    admission, order = Admission(1, 1), list[str]()
    async with admission.slot(10):
        leaving = asyncio.create_task(hold(admission, "gone", order, asyncio.Event()))
        await eventually(lambda: admission.waiting == 1)
        admission._give_up(admission._queue[0])
        leaving.cancel()
        (ended,) = await asyncio.gather(leaving, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)
        assert (admission.running, admission.waiting) == (1, 0)
    assert admission.running == 0
