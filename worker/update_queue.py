"""Between the engine, which must not wait, and a caller, who may read slowly.

A canvas of thousands of positions, told after each of thousands of steps to a reader who does not read, would fill the
memory. So a reader who lags far behind gets several steps as one: nothing committed is lost, only canvases in between.
"""

import asyncio
from collections import deque
from dataclasses import replace
from typing import Final

from worker.engine.request import Update

MAX_PENDING: Final = 64  # updates


class UpdateQueue:
    """Takes updates at once and gives them out in order."""

    def __init__(self) -> None:
        self._updates: deque[Update] = deque()
        self._there = asyncio.Event()

    def put(self, update: Update) -> None:
        if len(self._updates) >= MAX_PENDING:
            last = self._updates.pop()
            update = replace(update, committed=(*last.committed, *update.committed))
        self._updates.append(update)
        self._there.set()

    async def get(self) -> Update:
        await self._there.wait()
        update = self._updates.popleft()
        if not self._updates:
            self._there.clear()
        return update
