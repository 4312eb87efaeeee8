"""Who runs next, and what a step may cost.

Requests are admitted first come, first served, when there is a place and a slot for them; nobody overtakes. Every
step then runs all requests that are in the middle of a block, for their passes are short, and as many passes over whole
canvases as the bound on rows leaves room for: those that have waited longest first, and one in any case. So a step has
at most `max_rows` rows or, where that is more, one whole canvas beside the short passes, however many and however long
the requests are. No request waits for more steps than there are others whose turn is before its own.
"""

from collections import deque
from dataclasses import dataclass

from textdiffusion.wire import context_length_exceeded
from worker.engine.request import FinishReason, Request
from worker.kvcache.arena import NO_RESERVATION, SlotAllocator


class QueueFullError(Exception):
    """So many requests wait already that one more is refused."""


class NeverFitsError(Exception):
    """A request that is larger than the whole KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many requests run and wait, rows of one forward pass, and positions that the KV cache holds."""

    max_running: int
    max_waiting: int
    positions: int
    max_rows: int = 2048


class Scheduler:
    """Requests that wait and requests that run. Not thread-safe: the engine locks."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.slots = SlotAllocator(limits.positions)
        self.running: list[Request] = []
        self.waiting: deque[Request] = deque()
        self._steps = 0

    def add(self, request: Request) -> None:
        """Raises `NeverFitsError`, or `QueueFullError` if the request can neither run at once nor wait."""
        if request.reserved_positions > self.limits.positions:
            streams = len(request.canvas.streams)
            twice = " twice, for its guidance" if streams > 1 else ""
            however = (
                f"prompt, generated span and suffix take {request.canvas.capacity} positions{twice}; "
                f"this worker's KV cache holds {self.limits.positions}"
            )
            longest = self.limits.positions // streams
            raise NeverFitsError(f"gen_length: {context_length_exceeded(longest, however)}")
        free = max(0, self.limits.max_running - len(self.running))
        if len(self.waiting) >= self.limits.max_waiting + free:
            raise QueueFullError(f"{len(self.waiting)} requests are waiting; no more are taken")
        self.waiting.append(request)

    def schedule(self) -> list[Request]:
        """Admits what can be admitted; the requests of the next step, in the order of their slots."""
        self._admit()
        self._steps += 1
        chosen = [request for request in self.running if request.next_pass.cost == "cached"]
        rows = sum(request.next_pass.rows for request in chosen)
        whole = [request for request in self.running if request.next_pass.cost == "refresh"]
        for turn, request in enumerate(sorted(whole, key=lambda request: request.last_scheduled)):
            if turn > 0 and rows + request.next_pass.rows > self.limits.max_rows:
                break
            chosen.append(request)
            rows += request.next_pass.rows
        for request in chosen:
            request.last_scheduled = self._steps
        return sorted(chosen, key=lambda request: request.reservation)

    def take_finished(self) -> list[tuple[Request, FinishReason]]:
        """Takes out every request that is over, running or waiting, frees its slot, and says why it is."""
        over = [(request, reason) for request in (*self.running, *self.waiting) if (reason := request.finish_reason)]
        gone = {request for request, _ in over}
        for request in gone:
            if request.reservation != NO_RESERVATION:
                self.slots.free(request.reservation)
        self.running = [request for request in self.running if request not in gone]
        self.waiting = deque(request for request in self.waiting if request not in gone)
        return over

    def _admit(self) -> None:
        while self.waiting and len(self.running) < self.limits.max_running:
            if not self._leaves_room(self.waiting[0]):
                return
            reservation = self.slots.take(self.waiting[0].reserved_positions)
            if reservation is None:
                return
            request = self.waiting.popleft()
            request.reservation = reservation
            # Its turn comes behind those who wait already, or a stream of short requests would starve the others.
            request.last_scheduled = self._steps
            self.running.append(request)

    def _leaves_room(self, request: Request) -> bool:
        """Whether the short passes of all, should they fall into one step, stay within the bound on rows."""
        own, others = request.max_cached_rows, sum(other.max_cached_rows for other in self.running)
        return not own or not others or own + others <= self.limits.max_rows
