"""Waits for a process that starts, and for how long."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from textdiffusion.tasks import cancelled


async def within(
    seconds: float,
    ready: Coroutine[Any, Any, None],
    heard_at: Callable[[], float],
    still_waiting: Callable[[float], None],
    every: float = 10,
) -> bool:
    """Whether `ready` returned before `seconds` went by without a sign of life.

    `heard_at` says when there was the last one, by the clock of the event loop; `still_waiting` is called with the
    seconds that have passed in all, `every` so many of them.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    task = asyncio.create_task(ready)
    try:
        while (left := max(started, heard_at()) + seconds - clock()) > 0:
            done, _ = await asyncio.wait({task}, timeout=min(every, left))
            if done:
                task.result()
                return True
            if left > every:
                still_waiting(clock() - started)
        return False
    finally:
        await cancelled(task)
