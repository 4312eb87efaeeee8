"""An open load: requests are sent when they are due, whatever has become of those before them.

A client that waits for a reply before it asks again slows down with the server, and does not see how long others would
have waited meanwhile: coordinated omission. Here a request that is late delays no other, and all times count from the
moment at which a request was due, so what it waits for in this process is part of its latency.
"""

import asyncio
import random
import select
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat, takewhile
from typing import Any, TypeVar

import numpy as np

from testing.openai_client import Clock, Reply

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, in seconds since the load began; it was sent late only if this process had too much to do."""

    due: float
    sent: float
    ended: float
    reply: Reply

    @property
    def latency(self) -> float:
        return self.ended - self.due

    @property
    def first_text(self) -> float | None:
        """None if it was not streamed, or nothing came."""
        return self.reply.texts[0] - self.due if self.reply.texts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations in milliseconds; a percentile between two of them is interpolated."""

    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Distribution | None":
        """None if there is nothing to sum up."""
        if not seconds:
            return None
        milliseconds = 1e3 * np.asarray(seconds, dtype=np.float64)
        figures = [milliseconds.mean(), *np.percentile(milliseconds, (50, 90, 95, 99)), milliseconds.max()]
        return cls(**dict(zip(cls.__slots__, (round(float(one), 3) for one in figures), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of a load that was due within `seconds`. Rates are per second; late replies lower the completed one.

    `latency` is that of completed requests, `first_text` until the first text of those that were streamed; both count
    from when a request was due, as does `lateness`, with which this process sent it.
    """

    requests: int
    completed: int
    failures: Mapping[str, int]
    lasted: float
    offered_rate: float
    completed_rate: float
    latency: Distribution | None
    first_text: Distribution | None
    lateness: Distribution | None

    @classmethod
    def of(cls, calls: Sequence[Call], seconds: float) -> "Summary":
        completed = [call for call in calls if not call.reply.failure]
        lasted = max([seconds, *(call.ended for call in completed)])
        return cls(
            requests=len(calls),
            completed=len(completed),
            failures=dict(Counter(call.reply.failure for call in calls if call.reply.failure)),
            lasted=lasted,
            offered_rate=len(calls) / seconds,
            completed_rate=len(completed) / lasted,
            latency=Distribution.of([call.latency for call in completed]),
            first_text=Distribution.of([first for call in completed if (first := call.first_text) is not None]),
            lateness=Distribution.of([call.sent - call.due for call in calls]),
        )


def arrivals(rate: float, seconds: float, seed: str) -> list[float]:
    """A Poisson process: when requests are due, drawn beforehand, so that nothing that a server does can change it."""
    rng = random.Random(seed)  # noqa: S311 - a seed has to give the same again
    moments = accumulate(rng.expovariate(each) for each in repeat(rate))
    return list(takewhile(lambda moment: moment < seconds, moments))


async def run_open_loop(due: Sequence[float], ask: Callable[[int, Clock], Awaitable[Reply]]) -> list[Call]:
    """`ask` gets the number of the request and a clock that counts from the beginning of the load."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    def clock() -> float:
        return loop.time() - began

    async def call(number: int, moment: float) -> Call:
        sent = clock()
        reply = await ask(number, clock)
        return Call(due=moment, sent=sent, ended=clock(), reply=reply)

    calls = []
    for number, moment in enumerate(due):
        await asyncio.sleep(max(0.0, moment - clock()))
        calls.append(asyncio.create_task(call(number, moment)))
    return await asyncio.gather(*calls)


def run_precisely(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs it in an event loop that keeps time to the microsecond.

    asyncio rounds its waits up to whole milliseconds where epoll counts in them: on average every request would be sent
    half a millisecond late, which is more than a router may take.
    """
    loop = asyncio.SelectorEventLoop(_PreciseSelector())
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _PreciseSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)  # an epoll is itself a file that becomes readable
            timeout = 0
        return super().select(timeout)
