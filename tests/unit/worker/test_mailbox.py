import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.request import CommittedToken, FinishReason, Update
from worker.mailbox import MOST_WAITING, Mailbox


def update(number: int, reason: FinishReason | None = None) -> Update:
    token = CommittedToken(position=number, id=number, logprob=-1.0, step=number + 1)
    return Update((token,), number + 1, number + 1, number + 1, canvas=(number,), finish_reason=reason)


async def drained(mailbox: Mailbox) -> list[Update]:
    updates = [await mailbox.get()]
    while not updates[-1].finish_reason:
        updates.append(await mailbox.get())
    return updates


@given(st.integers(1, 3 * MOST_WAITING))
async def test_whoever_reads_late_misses_nothing_that_was_committed(steps: int) -> None:
    mailbox = Mailbox()
    for number in range(steps):
        mailbox.put(update(number, FinishReason.LENGTH if number == steps - 1 else None))
    updates = await drained(mailbox)
    assert len(updates) <= MOST_WAITING
    assert [token.position for one in updates for token in one.committed] == list(range(steps))
    assert updates[-1].canvas == (steps - 1,)
    assert updates[-1].ready == steps


async def test_whoever_keeps_up_gets_each_step_by_itself() -> None:
    mailbox = Mailbox()
    for number in range(3 * MOST_WAITING):
        mailbox.put(update(number))
        assert await mailbox.get() == update(number)


async def test_an_empty_mailbox_is_waited_for() -> None:
    mailbox = Mailbox()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(mailbox.get(), 0.01)
    mailbox.put(update(1))
    assert await asyncio.wait_for(mailbox.get(), 60) == update(1)
