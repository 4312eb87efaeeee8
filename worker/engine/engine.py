"""The loop that denoises: one thread, one forward pass after the other, for all running requests at once."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
import torch

from worker.engine.executor import LocalExecutor
from worker.engine.progress import Progress
from worker.engine.request import FinishReason, Publish, Request, Update, build_request
from worker.engine.scheduler import Limits, Scheduler
from worker.engine.step import run_step
from worker.models.spec import LoadedModel
from worker.sampling_params import SamplingParams

log = structlog.get_logger(__name__)


class EngineStoppedError(Exception):
    """The engine takes no more requests: it was stopped, or its device is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """How busy the engine is, and what it has done since it started.

    `step_batch_sizes` counts forward passes by how many requests took part: 1, 2, 3 to 4, 5 to 8, and so on, doubling;
    `step_batch_size_sum` is the sum of the sizes themselves.
    """

    running_requests: int
    queued_requests: int
    kv_positions_used: int
    kv_positions: int
    forward_passes: int
    committed_tokens: int
    finished_requests: int
    cancelled_requests: int
    failed_requests: int
    step_batch_sizes: tuple[int, ...]
    step_batch_size_sum: int


class Engine:
    """Takes requests from any thread, and tells each of them step by step what was committed.

    `publish` is called on the engine's thread and must not block. A request that nobody wants any more is given to
    `cancel`; it leaves before the next step. A step that fails ends the requests that took part in it; if the device
    can then not even run a single row, all others end too and `on_broken` is called, on the engine's thread.
    """

    def __init__(
        self,
        model: LoadedModel,
        limits: Limits,
        *,
        confidence_dtype: torch.dtype = torch.float32,
        use_graphs: bool = True,
        on_broken: Callable[[], object] = lambda: None,
    ) -> None:
        self.model = model
        self.progress = Progress()
        self._executor = LocalExecutor(model, limits, confidence_dtype, use_graphs=use_graphs)
        self._on_broken = on_broken
        self._scheduler = Scheduler(limits)
        self._changed = threading.Condition()
        self._closed_because = ""
        self._forward_passes = 0
        self._committed_tokens = 0
        self._step_batch_sizes = [0] * (_size_class(limits.max_running) + 1)
        self._step_batch_size_sum = 0
        self._finished: dict[FinishReason, int] = dict.fromkeys(FinishReason, 0)
        self._warm: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Allocate keys and values, run one forward pass to warm the device up, and wait for requests.

        Raises `MemoryError` if there is no room for keys and values, `GraphCaptureError`, and what the device raises.
        """
        self._thread.start()
        self._warm.result()

    def submit(
        self,
        request_id: str,
        prompt: Sequence[int],
        params: SamplingParams,
        publish: Publish,
        *,
        suffix: Sequence[int] = (),
        report_canvas: bool = False,
    ) -> Request:
        """Queues a request. Raises `NeverFitsError`, `QueueFullError` or `EngineStoppedError`."""
        request = build_request(
            request_id,
            prompt,
            params,
            mask_token_id=self.model.spec.mask_token_id,
            suffix=suffix,
            publish=publish,
            report_canvas=report_canvas,
        )
        with self._changed:
            if self._closed_because:
                raise EngineStoppedError(self._closed_because)
            self._scheduler.add(request)
            if self.progress.resting:
                self.progress.begin()
            self._changed.notify()
        return request

    def cancel(self, request: Request) -> None:
        with self._changed:
            request.cancelled = True
            self._changed.notify()

    def stop(self, seconds: float | None = None) -> bool:
        """Ends the loop after the step under way; what still runs is cancelled. Whether it ended within `seconds`."""
        self._close("the worker is stopping")
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def closed_because(self) -> str:
        """Why no more requests are taken; empty while they are."""
        with self._changed:
            return self._closed_because

    def stats(self) -> EngineStats:
        with self._changed:
            return EngineStats(
                running_requests=len(self._scheduler.running),
                queued_requests=len(self._scheduler.waiting),
                kv_positions_used=self._scheduler.slots.used,
                kv_positions=self._scheduler.slots.positions,
                forward_passes=self._forward_passes,
                committed_tokens=self._committed_tokens,
                finished_requests=self._finished[FinishReason.STOP] + self._finished[FinishReason.LENGTH],
                cancelled_requests=self._finished[FinishReason.CANCELLED],
                failed_requests=self._finished[FinishReason.FAILED],
                step_batch_sizes=tuple(self._step_batch_sizes),
                step_batch_size_sum=self._step_batch_size_sum,
            )

    def _run(self) -> None:
        try:
            self._executor.start()
        except Exception as error:  # noqa: BLE001 - for whoever called `start`
            self._close("the worker's device is broken")
            self._warm.set_exception(error)
            return
        self._warm.set_result(None)
        try:
            self._denoise()
        except Exception:
            log.exception("the engine failed; no more requests are served")
            self._close("the worker's engine failed")
            with self._changed:
                over = self._scheduler.take_finished()
                self._finished[FinishReason.FAILED] += len(over)
            for request, reason in over:
                _publish(request, request.update(reason=reason))
            self.progress.rest()
            self._on_broken()

    def _denoise(self) -> None:
        while (requests := self._next_requests()) is not None:
            updates = self._step(requests)
            if updates:
                self._count(updates)
            for request, update in zip(requests, updates, strict=False):
                _publish(request, update)

    def _count(self, updates: list[Update]) -> None:
        """Keeps count of a forward pass."""
        committed = sum(len(update.committed) for update in updates)
        with self._changed:
            self._forward_passes += 1
            self._committed_tokens += committed
            self._step_batch_sizes[_size_class(len(updates))] += 1
            self._step_batch_size_sum += len(updates)

    def _next_requests(self) -> list[Request] | None:
        """The requests of the next step, once there are some; none when the engine stops."""
        while True:
            with self._changed:
                self.progress.begin()
                over = self._scheduler.take_finished()
                for _, reason in over:
                    self._finished[reason] += 1
                requests = self._scheduler.schedule()
                if not requests and not over:
                    self.progress.rest()
                    if self._closed_because:
                        return None
                    self._changed.wait()
            for request, reason in over:
                if request.failure:
                    log.error("request failed", request_id=request.request_id, reason=request.failure)
                _publish(request, request.update(reason=reason))
            if requests:
                return requests

    def _step(self, requests: list[Request]) -> list[Update]:
        """What a step makes `requests` commit; nothing if it fails, which is the end of them."""
        try:
            return run_step(self._executor, requests)
        except Exception as error:
            log.exception("step failed", requests=[request.request_id for request in requests])
            out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        # Only out here, where no traceback holds on to the tensors of the step any more.
        for request in requests:
            request.failure = "the device ran out of memory" if out_of_memory else "the forward pass failed"
        self._recover()
        return []

    def _recover(self) -> None:
        """Gives up all requests if not even a single row can be run any more."""
        try:
            if self.model.device.type == "cuda":
                torch.cuda.empty_cache()
            self._executor.check_health()
        except Exception:
            log.exception("the device is broken; no more requests are served")
            self._close("the worker's device is broken")
            self._on_broken()

    def _close(self, reason: str) -> None:
        with self._changed:
            self._closed_because = self._closed_because or reason
            for request in (*self._scheduler.running, *self._scheduler.waiting):
                request.cancelled = True
            self._changed.notify()


def _size_class(requests: int) -> int:
    """0 for 1 request, 1 for 2, 2 for 3 to 4, 3 for 5 to 8, and so on."""
    return (requests - 1).bit_length()


def _publish(request: Request, update: Update) -> None:
    """Who cannot be told any more must not stop the others."""
    try:
        request.publish(update)
    except Exception:
        log.exception("nobody could be told", request_id=request.request_id)
        request.cancelled = True
