import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from router.generation.output import ChoiceDelta
from router.generation.service import merge

PATIENCE_SECONDS = 60


async def endless(index: int, closed: list[int]) -> AsyncGenerator[ChoiceDelta, None]:
    try:
        while True:
            yield ChoiceDelta(index, "a")
    finally:
        closed.append(index)


async def test_to_close_what_is_merged_closes_all_although_more_of_them_waits_to_be_read() -> None:
    closed: list[int] = []

    async def read_one() -> None:
        async with aclosing(merge([endless(0, closed), endless(1, closed)])) as deltas:
            await anext(deltas)
            for _ in range(10):  # turns of the event loop, in which all that can be ready becomes ready
                await asyncio.sleep(0)

    await asyncio.wait_for(read_one(), PATIENCE_SECONDS)
    assert sorted(closed) == [0, 1]


async def test_the_first_failure_ends_the_others_and_is_raised_behind_what_came_before_it() -> None:
    closed: list[int] = []

    async def fails() -> AsyncGenerator[ChoiceDelta, None]:
        yield ChoiceDelta(1, "b")
        raise LookupError

    seen = []

    async def read_all() -> None:
        async with aclosing(merge([endless(0, closed), fails()])) as deltas:
            async for delta in deltas:
                seen.append(delta.index)  # noqa: PERF401 - what was seen before it fails

    with pytest.raises(LookupError):
        await read_all()
    assert 1 in seen
    assert closed == [0]
