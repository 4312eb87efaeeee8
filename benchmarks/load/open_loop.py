"""Sends requests when they are due, whatever has become of those before them.

A client that waits for a reply before it asks again slows down with the server, and does not see how long others would
have waited meanwhile: coordinated omission. Here a request that is late delays no other, and all times count from the
moment at which a request was due, so what it waits for in this process is part of its latency.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

Clock = Callable[[], float]
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[_Outcome]):
    """One request, in seconds since the load began.

    `begun` is when its turn came, late only if this process had too much to do; `sent` is later than that if too many
    others were at the server.
    """

    number: int
    due: float
    begun: float
    sent: float
    ended: float
    outcome: _Outcome

    @property
    def latency(self) -> float:
        return self.ended - self.due


class OpenLoop(Generic[_Outcome]):
    """Requests that are due at given moments, at most so many of them at the server at once.

    `ask` gets the number of the request and a clock that counts from the beginning of the load.
    """

    def __init__(
        self,
        due: Sequence[float],
        ask: Callable[[int, Clock], Awaitable[_Outcome]],
        max_concurrency: int | None = None,
    ) -> None:
        self._due = due
        self._ask = ask
        self._places = asyncio.Semaphore(max_concurrency) if max_concurrency else nullcontext()
        self._calls: list[asyncio.Task[Call[_Outcome]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def run(self) -> list[Call[_Outcome]]:
        """The requests that ended, in the order in which they were due. Raises what `ask` raises."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._sender = asyncio.create_task(self._send(lambda: loop.time() - began))
        await asyncio.wait({self._sender})
        if self._calls:
            await asyncio.wait(self._calls)
        return [call.result() for call in self._calls if not call.cancelled()]

    def stop(self) -> None:
        """Sends nothing more, and gives up what is on its way."""
        for task in (self._sender, *self._calls):
            if task:
                task.cancel()

    @property
    def begun(self) -> int:
        """Requests whose turn has come, whatever became of them."""
        return len(self._calls)

    async def _send(self, clock: Clock) -> None:
        for number, due in enumerate(self._due):
            early = due - clock()
            if early > 0:
                await asyncio.sleep(early)
            self._calls.append(asyncio.create_task(self._call(number, due, clock)))

    async def _call(self, number: int, due: float, clock: Clock) -> Call[_Outcome]:
        begun = clock()
        async with self._places:
            sent = clock()
            outcome = await self._ask(number, clock)
            return Call(number=number, due=due, begun=begun, sent=sent, ended=clock(), outcome=outcome)
