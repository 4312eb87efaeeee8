"""Tasks that belong together and end together; the first failure is raised by itself, and not as one of a group."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOOK_SECONDS: Final = 0.02


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Runs `work` side by side and returns what it results in; the first failure ends all of it and is raised."""
    if len(work) == 1:  # needs no task of its own
        return [await work[0]]
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancelled(*tasks)


async def first_of(*work: "asyncio.Future[Any]") -> None:
    """Returns as soon as one of them is done; cancels none."""
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)


async def cancelled(*tasks: "asyncio.Future[Any]") -> None:
    """Cancels what still runs and waits until it has let go of what it held."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def either(*work: Coroutine[Any, Any, Any]) -> None:
    """Returns as soon as one of them is done, or raises what it failed with, and cancels the others."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await first_of(*tasks)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await cancelled(*tasks)


async def holds_within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether it comes true in so many seconds; for what tells nobody when it changes."""
    clock = asyncio.get_running_loop().time
    give_up = clock() + seconds
    while not condition():
        if clock() >= give_up:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True
