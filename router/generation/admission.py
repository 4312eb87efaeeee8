"""Bounds what is at the workers and what waits for them, so that an overload is refused at once and not felt by all.

The average time that a slot is held, divided by the number of slots, is how long it takes until one becomes free. From
it follow how long the last in the queue will wait, who is refused as that is too long, and what `Retry-After` says.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from router.errors import NoHealthyWorkersError, QueueTimeoutError, ServerOverloadedError

Clock = Callable[[], float]

NEWEST: Final = 0.1  # weight of the newest observation in the average


class Ticket:
    """A place in the queue, and then a slot."""

    def __init__(self, admission: "Admission", now: float) -> None:
        self._admission = admission
        self._joined_at = now
        self._turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.served = False  # to be set once its choice has been denoised to the end

    @asynccontextmanager
    async def slot(self, seconds: float) -> AsyncIterator[None]:
        """Holds a slot once it is this ticket's turn. Raises `QueueTimeoutError` after so many seconds."""
        if not self._turn.done():
            await asyncio.wait({self._turn}, timeout=seconds)
        if not self._turn.done():
            raise QueueTimeoutError(retry_after=self._admission.expected_wait)
        try:
            yield
        finally:
            self._admission.leave(self)

    @property
    def admitted_at(self) -> float:
        """When its turn came, by the admission's clock; only once it has come."""
        return self._turn.result()

    @property
    def waited(self) -> float:
        """Seconds in the queue; only once its turn has come."""
        return self.admitted_at - self._joined_at

    def admit(self, now: float) -> None:
        self._turn.set_result(now)


class Admission:
    """Slots for the running requests of one model, and a queue before them, first come first served."""

    def __init__(self, capacity: Callable[[], int], max_waiting: int, max_wait: float, clock: Clock) -> None:
        """`capacity` says how many slots there are, which changes as workers come and go; `max_wait` is in seconds."""
        self._capacity = capacity
        self._max_waiting = max_waiting
        self._max_wait = max_wait
        self._clock = clock
        self._queue: deque[Ticket] = deque()
        self._holders: set[Ticket] = set()
        self._held_seconds = 0.0

    @property
    def running(self) -> int:
        return len(self._holders)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def expected_wait(self) -> float:
        """Seconds that a newcomer waits for a slot if none is free; 0 until the first slot has been used."""
        return (self.waiting + 1) * self._held_seconds / max(self._capacity(), 1)

    @contextmanager
    def tickets(self, count: int) -> Iterator[Sequence[Ticket]]:
        """`count` places for one request, given up when the context ends. Raises a `ServiceError` at once."""
        self._refuse_if_full(count)
        tickets = [Ticket(self, self._clock()) for _ in range(count)]
        self._queue.extend(tickets)
        self.fill()
        try:
            yield tickets
        finally:
            for ticket in tickets:
                self.leave(ticket)

    def fill(self) -> None:
        """Hands out the free slots; to be called whenever there may be more of them."""
        while self._queue and self.running < self._capacity():
            ticket = self._queue.popleft()
            self._holders.add(ticket)
            ticket.admit(self._clock())

    def leave(self, ticket: Ticket) -> None:
        if ticket in self._holders:
            self._holders.remove(ticket)
            if ticket.served:  # others held their slot too briefly to learn from
                self._learn(self._clock() - ticket.admitted_at)
            self.fill()
        elif ticket in self._queue:
            self._queue.remove(ticket)

    def _refuse_if_full(self, count: int) -> None:
        if not self._capacity():
            raise NoHealthyWorkersError
        if not self._queue and self.running < self._capacity():
            return  # it can begin right now, and whatever else it asks for follows
        if self.waiting + count > self._max_waiting or self.expected_wait > self._max_wait:
            raise ServerOverloadedError(retry_after=self.expected_wait)

    def _learn(self, seconds: float) -> None:
        known = self._held_seconds or seconds
        self._held_seconds = known + NEWEST * (seconds - known)


class Queues:
    """One admission for each model, made when it is first asked for."""

    def __init__(self, make: Callable[[str], Admission]) -> None:
        self._make = make
        self._admissions: dict[str, Admission] = {}

    def of(self, model_id: str) -> Admission:
        if model_id not in self._admissions:
            self._admissions[model_id] = self._make(model_id)
        return self._admissions[model_id]

    def fill(self) -> None:
        """After workers have come or gone."""
        for admission in self._admissions.values():
            admission.fill()

    @property
    def running(self) -> int:
        return sum(admission.running for admission in self._admissions.values())

    @property
    def waiting(self) -> int:
        return sum(admission.waiting for admission in self._admissions.values())
