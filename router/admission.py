"""Bounds what is at the workers and what waits for them, so that an overload is refused at once and not felt by all."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from router.errors import QueueTimeoutError, ServerOverloadedError


class Admission:
    """Slots for running requests, and a queue before them, first come first served."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._queue: deque[asyncio.Future[None]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def slot(self, timeout: float) -> AsyncIterator[None]:
        """Holds a slot. Raises `ServerOverloadedError` at once or `QueueTimeoutError` after `timeout` seconds."""
        if self.running < self._max_running:
            self.running += 1
        elif self.waiting < self._max_waiting:
            await self._wait(timeout)
        else:
            raise ServerOverloadedError
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(seconds, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._queue:
                self._queue.remove(turn)
            elif not turn.cancelled() and turn.exception() is None:  # the slot arrived as its waiter left
                self._pass_on()
            raise
        finally:
            timer.cancel()

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._queue.remove(turn)
            turn.set_exception(QueueTimeoutError())

    def _pass_on(self) -> None:
        """Hands a slot to whoever waits longest; nobody who arrives meanwhile can take it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
