import asyncio

import pytest

from textdiffusion.tasks import either


async def test_the_first_that_is_done_ends_the_others() -> None:
    ended = asyncio.Event()

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await either(other(), asyncio.sleep(0.01))
    assert ended.is_set()


async def test_what_the_first_fails_with_is_raised() -> None:
    async def failing() -> None:
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        await either(asyncio.Event().wait(), failing())
