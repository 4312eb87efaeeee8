"""What becomes of one call, told to whoever observes it: metrics, the log, traces."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from router.errors import NoHealthyWorkersError, QueueTimeoutError, RouterError, ServerOverloadedError, answer_to
from router.generation.call import ChoiceRequest
from router.generation.usage import Usage
from router.metrics import AdmissionOutcome, Metrics
from router.schema.responses import FinishReason
from textdiffusion.spans import Span

Clock = Callable[[], float]

LEFT: Final = "client_left"
# What to send along with a worker's call, so that it becomes a part of the trace.
Headers = Sequence[tuple[str, str]]


class RequestObserver:
    """Takes in what becomes of a call. Each sink overrides what it tells of."""

    def admitted(self, waited: float, *, first: bool) -> None:
        """A choice has its slot, after so many seconds in the queue."""

    @contextmanager
    def attempt(self, choice: ChoiceRequest, worker: str, waited: float, retry: int) -> Iterator[Headers]:
        """Last as long as a worker's call; `retry` is how many workers were lost over the choice before."""
        del choice, worker, waited, retry
        yield ()

    def first_token(self, seconds: float) -> None:
        """The first text is there, so many seconds after the call came."""

    def retried(self, worker: str) -> None:
        """A choice begins anew at another worker."""

    def choice_finished(self, choice: ChoiceRequest, reason: FinishReason, usage: Usage) -> None: ...

    def finished(self, usage: Usage) -> None:
        """All choices have been read to their end."""

    def answered(self, seconds: float) -> None:
        """The call is over and nothing went wrong, so many seconds after it came."""

    def failed(self, error: BaseException, *, left: bool, admitted: bool, unfinished: int) -> None:
        """Something ended the call before its end; `left`: nobody wants it any more."""


class RequestRecorder:
    """Keeps the moments of one call of so many choices, and tells them to its observers."""

    def __init__(
        self, observers: Sequence[RequestObserver] = (), *, choices: int = 1, clock: Clock = time.monotonic
    ) -> None:
        self._observers = observers
        self._unfinished = choices
        self._clock = clock
        self._arrived_at = clock()
        self._admitted = self._has_token = self._failed = False

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record how the call ends, be it by an exception that is raised in the context."""
        try:
            yield
        except BaseException as error:
            self.failed(error)
            raise
        if not self._failed:
            for observer in self._observers:
                observer.answered(self._clock() - self._arrived_at)

    def admitted(self, waited: float) -> None:
        first, self._admitted = not self._admitted, True
        for observer in self._observers:
            observer.admitted(waited, first=first)

    @contextmanager
    def attempt(self, choice: ChoiceRequest, worker: str, waited: float, retry: int) -> Iterator[Headers]:
        with ExitStack() as stack:
            attempts = [observer.attempt(choice, worker, waited, retry) for observer in self._observers]
            yield [header for one in attempts for header in stack.enter_context(one)]

    def first_token(self) -> None:
        if not self._has_token:
            self._has_token = True
            for observer in self._observers:
                observer.first_token(self._clock() - self._arrived_at)

    def retried(self, worker: str) -> None:
        for observer in self._observers:
            observer.retried(worker)

    def choice_finished(self, choice: ChoiceRequest, reason: FinishReason, usage: Usage) -> None:
        self._unfinished -= 1
        for observer in self._observers:
            observer.choice_finished(choice, reason, usage)

    def finished(self, usage: Usage) -> None:
        for observer in self._observers:
            observer.finished(usage)

    def failed(self, error: BaseException) -> None:
        """Record what ended the call before its end; only the first such thing counts."""
        if self._failed:
            return
        self._failed = True
        left = isinstance(error, (asyncio.CancelledError, ConnectionError, GeneratorExit))
        for observer in self._observers:
            observer.failed(error, left=left, admitted=self._admitted, unfinished=self._unfinished)


class MetricsObserver(RequestObserver):
    def __init__(self, metrics: Metrics, model_id: str) -> None:
        self._metrics = metrics
        self._model_id = model_id

    def admitted(self, waited: float, *, first: bool) -> None:
        self._metrics.queue_time(self._model_id, waited)
        if first:
            self._metrics.admission(self._model_id, "admitted")

    def first_token(self, seconds: float) -> None:
        self._metrics.time_to_first_block(self._model_id, seconds)

    def retried(self, worker: str) -> None:
        del worker
        self._metrics.request_retried(self._model_id)

    def choice_finished(self, choice: ChoiceRequest, reason: FinishReason, usage: Usage) -> None:
        self._metrics.request_finished(
            self._model_id,
            reason,
            prompt_tokens=choice.prompt.length,
            completion_tokens=usage.completion_tokens,
            forward_passes=usage.forward_passes,
            committed_tokens=usage.committed_tokens,
            canvas_positions=choice.positions,
        )

    def answered(self, seconds: float) -> None:
        self._metrics.request_latency(self._model_id, seconds)

    def failed(self, error: BaseException, *, left: bool, admitted: bool, unfinished: int) -> None:
        if admitted:
            count = self._metrics.request_aborted if left else self._metrics.request_failed
            for _ in range(unfinished):
                count(self._model_id)
        elif outcome := "client_left" if left else _refusal(error):
            self._metrics.admission(self._model_id, outcome)


class LogObserver(RequestObserver):
    """Puts it into the fields of the request's line in the log."""

    def __init__(self, fields: MutableMapping[str, Any], model_id: str, choices: int) -> None:
        self._fields = fields
        fields.update(model=model_id, choices=choices)

    def admitted(self, waited: float, *, first: bool) -> None:
        if first:
            self._fields["queued_milliseconds"] = _milliseconds(waited)

    @contextmanager
    def attempt(self, choice: ChoiceRequest, worker: str, waited: float, retry: int) -> Iterator[Headers]:
        del choice, waited, retry
        self._fields.setdefault("worker", worker)
        yield ()

    def first_token(self, seconds: float) -> None:
        self._fields["first_block_milliseconds"] = _milliseconds(seconds)

    def retried(self, worker: str) -> None:
        self._fields.update(worker=worker, retries=self._fields.get("retries", 0) + 1)

    def choice_finished(self, choice: ChoiceRequest, reason: FinishReason, usage: Usage) -> None:
        del choice, usage
        self._fields.setdefault("finish_reasons", []).append(reason)

    def finished(self, usage: Usage) -> None:
        self._fields.update(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            forward_passes=usage.forward_passes,
            committed_tokens=usage.committed_tokens,
        )

    def failed(self, error: BaseException, *, left: bool, admitted: bool, unfinished: int) -> None:
        del left, admitted, unfinished
        if isinstance(error, RouterError):
            self._fields["error"] = answer_to(error).name


class TraceObserver(RequestObserver):
    """Has a span for each worker's call, within that of the request."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._attempts: dict[int, Span] = {}  # by choice

    @contextmanager
    def attempt(self, choice: ChoiceRequest, worker: str, waited: float, retry: int) -> Iterator[Headers]:
        with self._span.calling("denoise") as attempt:
            self._attempts[choice.index] = attempt
            attempt.set(
                lambda: {
                    "rpc.system.name": "grpc",
                    "server.address": worker,
                    "tdi.request.id": choice.request.request_id,
                    "tdi.choice": choice.index,
                    "tdi.queue_seconds": waited,
                    "tdi.retry": retry or None,
                }
            )
            try:
                yield attempt.headers
            except RouterError as error:
                attempt.fail(answer_to(error).name)
                raise
            except (ConnectionError, GeneratorExit):
                attempt.fail(LEFT, is_fault=False)
                raise

    def choice_finished(self, choice: ChoiceRequest, reason: FinishReason, usage: Usage) -> None:
        told: Mapping[str, Any] = {
            "tdi.finish_reason": reason,
            "tdi.forward_passes": usage.forward_passes,
            "tdi.committed_tokens": usage.committed_tokens,
        }
        self._attempts[choice.index].set(lambda: told)


def _refusal(error: BaseException) -> AdmissionOutcome | None:
    """Return what became of a call that never had a slot; None if it was wrong in itself."""
    outcomes: Sequence[tuple[type[RouterError], AdmissionOutcome]] = (
        (ServerOverloadedError, "queue_full"),
        (QueueTimeoutError, "queue_timeout"),
        (NoHealthyWorkersError, "no_worker"),
    )
    return next((outcome for kind, outcome in outcomes if isinstance(error, kind)), None)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
