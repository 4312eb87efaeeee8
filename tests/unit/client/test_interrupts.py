import asyncio

import pytest

from client.interrupts import ECHO_SECONDS, Interrupts
from testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def press_later(interrupts: Interrupts) -> None:
    asyncio.get_running_loop().call_soon(interrupts.received)


def test_the_first_one_cancels_what_is_under_way_and_waits_until_it_has_let_go(clock: Clock) -> None:
    interrupts = Interrupts(clock)
    let_go = []

    async def work() -> None:
        press_later(interrupts)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            let_go.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(work)
    assert let_go == [True]


def test_a_second_one_leaves_while_the_cancellation_is_under_way(clock: Clock) -> None:
    left = asyncio.Event()
    interrupts = Interrupts(clock, leave=left.set)

    async def work() -> None:
        press_later(interrupts)
        try:
            await asyncio.Event().wait()
        finally:
            clock.now += 2 * ECHO_SECONDS
            press_later(interrupts)
            await left.wait()

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(work)
    assert left.is_set()


def test_one_that_is_passed_on_besides_is_not_heard(clock: Clock) -> None:
    interrupts = Interrupts(clock)
    with pytest.raises(KeyboardInterrupt):
        interrupts.received()
    clock.now += ECHO_SECONDS / 2
    interrupts.received()
    assert interrupts.pressed == 1


def test_where_nothing_is_under_way_it_is_raised_and_counted_until_forgotten(clock: Clock) -> None:
    interrupts = Interrupts(clock)
    for pressed in (1, 2):
        clock.now += 2 * ECHO_SECONDS
        with pytest.raises(KeyboardInterrupt):
            interrupts.received()
        assert interrupts.pressed == pressed
    interrupts.forget()
    assert interrupts.pressed == 0
    with pytest.raises(KeyboardInterrupt):
        interrupts.received()
    assert interrupts.pressed == 1


def test_what_ends_by_itself_gives_its_result_and_leaves_nothing_to_cancel(clock: Clock) -> None:
    interrupts = Interrupts(clock)

    async def work() -> int:
        return 5

    assert interrupts.run(work) == 5
    with pytest.raises(KeyboardInterrupt):
        interrupts.received()
