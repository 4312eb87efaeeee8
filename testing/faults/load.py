"""Clients that ask one request after the other and try again, as OpenAI's clients do, when they are told to."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from testing.faults.client import CASES, Case, Client
from testing.faults.ledger import Deaths, Ledger, Verdict
from testing.openai_client import Reply
from textdiffusion.tasks import together

STREAMED_SHARE: Final = 0.6
PATIENCE_SECONDS: Final = 180.0  # for one request with all its attempts
MAX_WAIT_SECONDS: Final = 5.0  # whatever Retry-After says: the next fault is not far
PAUSE_SECONDS: Final = 0.5  # where nobody said how long to wait
# What a client does with a reply before it asks again, at most: processes that start need some of the machine too.
THINKING_SECONDS: Final = 1.0
ENDS: Final = frozenset({Verdict.RIGHT, Verdict.WRONG, Verdict.MISTAKEN})


class UnfitError(Exception):
    """The stack does not answer although nothing disturbs it."""


async def undisturbed(client: Client, cases: Sequence[Case] = CASES) -> dict[str, Reply]:
    """The right reply to each case, asked one by one. Raises `UnfitError`."""
    replies = {}
    for case in cases:
        reply = await client.ask(case, stream=False)
        if reply.failure:
            raise UnfitError(f"{case.name}: {reply.failure} {reply.message}")
        replies[case.name] = reply
    return replies


class Load:
    """Requests in flight, so many at a time; `expected` are the right replies by the names of the cases."""

    def __init__(self, client: Client, expected: Mapping[str, Reply], deaths: Deaths, *, seed: int = 0) -> None:
        self.ledger = Ledger()
        self._client = client
        self._expected = expected
        self._deaths = deaths
        self._seed = seed
        self._cases = [case for case in CASES if case.name in expected]
        self._stopping = False
        self._streams: set[asyncio.Task[Reply]] = set()
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._settled = asyncio.Condition()

    @asynccontextmanager
    async def running(self, in_flight: int) -> AsyncIterator[None]:
        """In the end every request that was begun is answered."""
        loops = asyncio.create_task(together(*(self._loop(number) for number in range(in_flight))))
        try:
            yield
        finally:
            self._stopping = True
            await loops

    async def answered(self, more: int) -> None:
        """Returns once so many more requests have been answered right."""
        wanted = self.ledger.right + more
        async with self._settled:
            await asyncio.wait_for(self._settled.wait_for(lambda: self.ledger.right >= wanted), PATIENCE_SECONDS)

    def leave(self, rng: random.Random) -> int:
        """Some of the clients that read a stream close their connections; how many."""
        streams = sorted(self._streams, key=lambda task: task.get_name())
        leaving = rng.sample(streams, (len(streams) + 1) // 2)
        for task in leaving:
            task.cancel()
        return len(leaving)

    async def _loop(self, number: int) -> None:
        rng = random.Random(f"{self._seed} requests {number}")
        while not self._stopping:
            await self._until_answered(rng.choice(self._cases), stream=rng.random() < STREAMED_SHARE)
            await asyncio.sleep(rng.uniform(0, THINKING_SECONDS))

    async def _until_answered(self, case: Case, *, stream: bool) -> None:
        self.ledger.asked += 1
        give_up = self._clock() + PATIENCE_SECONDS
        while self._clock() < give_up:
            began = self._clock()
            reply = await self._attempt(case, stream=stream)
            if reply is None:
                self.ledger.left += 1
                return
            if await self._enter(case, reply, began, stream=stream) in ENDS:
                return
            self.ledger.retried += 1
            await asyncio.sleep(min(reply.retry_after or PAUSE_SECONDS, MAX_WAIT_SECONDS))
        self.ledger.unanswered += 1

    async def _enter(self, case: Case, reply: Reply, began: float, *, stream: bool) -> Verdict:
        ended = self._clock()
        name = f"{case.name}{', streamed,' if stream else ''} {began - self._began:.1f} to {ended - self._began:.1f} s"
        router_died = self._deaths.between(began, ended)
        async with self._settled:
            self._settled.notify_all()
            return self.ledger.add(name, reply, self._expected[case.name], router_died=router_died)

    async def _attempt(self, case: Case, *, stream: bool) -> Reply | None:
        """None if the client left."""
        asking = asyncio.create_task(self._client.ask(case, stream=stream))
        if stream:
            self._streams.add(asking)
        try:
            await asyncio.wait({asking})
        finally:
            asking.cancel()
            self._streams.discard(asking)
        return None if asking.cancelled() else asking.result()
