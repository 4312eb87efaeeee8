"""Who runs next: first come, first served, up to a number of requests at once."""

from collections import deque

from worker.engine.request import FinishReason, Request


class QueueFullError(Exception):
    """So many requests wait already that one more is refused."""


class Scheduler:
    """Requests that wait and requests that run. Not thread-safe: the engine locks."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.max_running = max_running
        self.max_waiting = max_waiting
        self.running: list[Request] = []
        self.waiting: deque[Request] = deque()

    def add(self, request: Request) -> None:
        """Raises `QueueFullError` if the request can neither run at once nor wait."""
        free = max(0, self.max_running - len(self.running))
        if len(self.waiting) >= self.max_waiting + free:
            raise QueueFullError(f"{len(self.waiting)} requests are waiting; no more are taken")
        self.waiting.append(request)

    def schedule(self) -> list[Request]:
        """Fills free places from the queue; the requests of the next step."""
        while self.waiting and len(self.running) < self.max_running:
            self.running.append(self.waiting.popleft())
        return list(self.running)

    def take_finished(self) -> list[tuple[Request, FinishReason]]:
        """Takes out every request that is over, running or waiting, and says why it is."""
        over = [(request, reason) for request in (*self.running, *self.waiting) if (reason := request.finish_reason)]
        gone = {request for request, _ in over}
        self.running = [request for request in self.running if request not in gone]
        self.waiting = deque(request for request in self.waiting if request not in gone)
        return over
