import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.request import CommittedToken, FinishReason, Update
from worker.update_queue import MAX_PENDING, UpdateQueue


def update(number: int, reason: FinishReason | None = None) -> Update:
    token = CommittedToken(position=number, id=number, logprob=-1.0, step=number + 1)
    return Update((token,), number + 1, number + 1, number + 1, canvas=(number,), finish_reason=reason)


async def drained(pending: UpdateQueue) -> list[Update]:
    updates = [await pending.get()]
    while not updates[-1].finish_reason:
        updates.append(await pending.get())
    return updates


@given(st.integers(1, 3 * MAX_PENDING))
async def test_whoever_reads_late_misses_nothing_that_was_committed(steps: int) -> None:
    pending = UpdateQueue()
    for number in range(steps):
        pending.put(update(number, FinishReason.LENGTH if number == steps - 1 else None))
    updates = await drained(pending)
    assert len(updates) <= MAX_PENDING
    assert [token.position for one in updates for token in one.committed] == list(range(steps))
    assert updates[-1].canvas == (steps - 1,)
    assert updates[-1].ready == steps


async def test_whoever_keeps_up_gets_each_step_by_itself() -> None:
    updates = UpdateQueue()
    for number in range(3 * MAX_PENDING):
        updates.put(update(number))
        assert await updates.get() == update(number)


async def test_an_empty_queue_is_waited_for() -> None:
    updates = UpdateQueue()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(updates.get(), 0.01)
    updates.put(update(1))
    assert await asyncio.wait_for(updates.get(), 60) == update(1)
