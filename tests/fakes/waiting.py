"""Waiting for what no event tells of."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 10


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await eventually_async(holds)


async def eventually_async(condition: Callable[[], Awaitable[bool]]) -> None:
    give_up = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not await condition():
        assert asyncio.get_running_loop().time() < give_up, "it never came true"
        await asyncio.sleep(0.005)
