"""Waiting for what no event tells of."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 60


async def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    async def holds() -> bool:
        return condition()

    await eventually_async(holds, seconds)


async def eventually_async(condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    give_up = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < give_up, "it never came true"
        await asyncio.sleep(0.005)
