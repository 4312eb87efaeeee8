"""What one request for text leaves behind: numbers in the metrics, facts in its line of the log."""

import asyncio
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from router.admission import Ticket
from router.errors import NoHealthyWorkersError, QueueTimeoutError, RouterError, ServerOverloadedError, answer_to
from router.jobs import Job
from router.metrics import AdmissionOutcome, Metrics
from router.replies.usage import Usage
from router.schema.responses import FinishReason

Clock = Callable[[], float]


class Account:
    """Kept from the moment at which it is known which model is asked for how many choices."""

    def __init__(
        self, metrics: Metrics, facts: MutableMapping[str, Any], model_id: str, choices: int, clock: Clock
    ) -> None:
        self._metrics = metrics
        self._facts = facts
        self._model_id = model_id
        self._unfinished = choices
        self._clock = clock
        self._arrived_at = clock()
        self._admitted = self._begun = self._lost = False
        facts.update(model=model_id, choices=choices)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Notes how the request ends, be it by an exception that is raised in the context."""
        try:
            yield
        except BaseException as error:
            self.lost(error)
            raise
        if not self._lost:
            self._metrics.request_latency(self._model_id, self._clock() - self._arrived_at)

    def admitted(self, ticket: Ticket) -> None:
        """A choice has its slot."""
        self._metrics.queue_time(self._model_id, ticket.waited)
        if not self._admitted:
            self._admitted = True
            self._metrics.admission(self._model_id, "admitted")
            self._facts["queued_milliseconds"] = _milliseconds(ticket.waited)

    def retried(self) -> None:
        """A choice begins anew at another worker."""
        self._metrics.request_retried(self._model_id)
        self._facts["retries"] = self._facts.get("retries", 0) + 1

    def begun(self) -> None:
        """The first text is about to be sent."""
        if not self._begun:
            self._begun = True
            seconds = self._clock() - self._arrived_at
            self._metrics.time_to_first_block(self._model_id, seconds)
            self._facts["first_block_milliseconds"] = _milliseconds(seconds)

    def finished(self, job: Job, reason: FinishReason, usage: Usage) -> None:
        """A choice has been read to its end."""
        self._unfinished -= 1
        self._facts.setdefault("finish_reasons", []).append(reason)
        self._metrics.request_finished(
            self._model_id,
            reason,
            prompt_tokens=job.prompt.length,
            completion_tokens=usage.completion_tokens,
            forward_passes=usage.forward_passes,
            committed_tokens=usage.committed_tokens,
            canvas_positions=job.positions,
        )

    def cost(self, usage: Usage) -> None:
        self._facts.update(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            forward_passes=usage.forward_passes,
            committed_tokens=usage.committed_tokens,
        )

    def lost(self, error: BaseException) -> None:
        """Something ended the request before it was answered to the end; only the first such thing counts."""
        if self._lost:
            return
        self._lost = True
        if isinstance(error, RouterError):
            self._facts["error"] = answer_to(error).name
        left = isinstance(error, (asyncio.CancelledError, ConnectionError))
        if not self._admitted:
            outcome = "client_left" if left else _outcome(error)
            if outcome:
                self._metrics.admission(self._model_id, outcome)
            return
        count = self._metrics.request_aborted if left else self._metrics.request_failed
        for _ in range(self._unfinished):
            count(self._model_id)


def _outcome(error: BaseException) -> AdmissionOutcome | None:
    """What became of a request that never had a slot; none if it was wrong in itself."""
    outcomes: Sequence[tuple[type[RouterError], AdmissionOutcome]] = (
        (ServerOverloadedError, "queue_full"),
        (QueueTimeoutError, "queue_timeout"),
        (NoHealthyWorkersError, "no_worker"),
    )
    return next((outcome for kind, outcome in outcomes if isinstance(error, kind)), None)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
