import asyncio

import pytest

from benchmarks.load.open_loop import Call, Clock, OpenLoop
from testing.waiting import eventually

PATIENCE_SECONDS = 60


async def finished(load: OpenLoop[int]) -> list[Call[int]]:
    return await asyncio.wait_for(load.run(), PATIENCE_SECONDS)


async def test_a_request_that_is_late_delays_no_other() -> None:
    last_has_begun = asyncio.Event()

    async def ask(number: int, clock: Clock) -> int:  # noqa: ARG001
        if number == 3:
            last_has_begun.set()
        await last_has_begun.wait()
        return number

    calls = await finished(OpenLoop([0.0, 0.001, 0.002, 0.003], ask))
    assert [call.outcome for call in calls] == [0, 1, 2, 3]


async def test_none_is_sent_before_it_is_due() -> None:
    async def ask(number: int, clock: Clock) -> int:
        assert clock() >= due[number]
        return number

    due = [0.0, 0.02, 0.02, 0.05]
    calls = await finished(OpenLoop(due, ask))
    assert [call.due for call in calls] == due
    assert all(call.due <= call.begun <= call.sent <= call.ended for call in calls)


async def test_what_the_cap_holds_back_waits_and_its_waiting_is_part_of_its_latency() -> None:
    at_once: set[int] = set()
    most = 0

    async def ask(number: int, clock: Clock) -> int:  # noqa: ARG001
        nonlocal most
        at_once.add(number)
        most = max(most, len(at_once))
        await asyncio.sleep(0.01)
        at_once.remove(number)
        return number

    calls = await finished(OpenLoop([0.0] * 6, ask, max_concurrency=2))
    assert most == 2
    assert all(call.begun < min(first.ended for first in calls) for call in calls)
    last = max(calls, key=lambda call: call.sent)
    assert last.sent >= sorted(call.ended for call in calls)[3]
    assert last.latency == last.ended - last.due >= 0.03


async def test_stopping_gives_what_has_ended_and_sends_nothing_more() -> None:
    has_ended = asyncio.Event()

    async def ask(number: int, clock: Clock) -> int:  # noqa: ARG001
        if number == 0:
            has_ended.set()
            return number
        await asyncio.Event().wait()
        return number

    load = OpenLoop([0.0, 0.0, 3600.0], ask)
    running = asyncio.create_task(finished(load))
    await has_ended.wait()
    await eventually(lambda: load.begun == 2)
    load.stop()
    assert [call.number for call in await running] == [0]
    assert load.begun == 2


async def test_a_load_of_nothing_ends_at_once() -> None:
    async def ask(number: int, clock: Clock) -> int:  # noqa: ARG001
        return number

    load = OpenLoop([], ask)
    load.stop()
    assert await finished(load) == []


async def test_a_mistake_of_the_asker_comes_out() -> None:
    async def ask(number: int, clock: Clock) -> int:
        raise LookupError(number, clock)

    with pytest.raises(LookupError):
        await finished(OpenLoop([0.0], ask))
