"""The loop that denoises: one thread, one forward pass after the other, for all running requests at once."""

import threading
from dataclasses import dataclass

import structlog
import torch
from torch import Tensor

from worker.decoding.commit import choose_positions
from worker.decoding.confidence import confidence, log_probability
from worker.decoding.sampling import choose_tokens
from worker.engine.batch import Batch
from worker.engine.request import CommittedToken, DecodingOptions, FinishReason, Publish, Request, Update
from worker.engine.scheduler import Scheduler
from worker.models.loading import LoadedModel

log = structlog.get_logger(__name__)


class EngineStoppedError(Exception):
    """The engine takes no more requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """How busy the engine is, and what it has done since it started."""

    running_requests: int
    queued_requests: int
    forward_passes: int
    committed_tokens: int
    finished_requests: int
    cancelled_requests: int


class Engine:
    """Takes requests from any thread, and tells each of them step by step what was committed.

    `publish` is called on the engine's thread and must not block. A request that nobody wants any more is given to
    `cancel`; it leaves before the next step.
    """

    def __init__(self, model: LoadedModel, *, max_running: int, max_waiting: int) -> None:
        self.model = model
        self._scheduler = Scheduler(max_running, max_waiting)
        self._changed = threading.Condition()
        self._stopping = False
        self._forward_passes = 0
        self._committed_tokens = 0
        self._finished: dict[FinishReason, int] = dict.fromkeys(FinishReason, 0)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Runs one forward pass to warm the device up, then waits for requests."""
        options = DecodingOptions(gen_length=1, block_length=1, steps=1)
        self._step([Request("warm-up", [], options, self.model.mask_token_id, lambda _: None)])
        self._thread.start()

    def submit(
        self,
        request_id: str,
        prompt: list[int],
        options: DecodingOptions,
        publish: Publish,
        *,
        report_canvas: bool = False,
    ) -> Request:
        """Queues a request. Raises `QueueFullError` or `EngineStoppedError`."""
        request = Request(request_id, prompt, options, self.model.mask_token_id, publish, report_canvas)
        with self._changed:
            if self._stopping:
                raise EngineStoppedError("the worker is stopping")
            self._scheduler.add(request)
            self._changed.notify()
        return request

    def cancel(self, request: Request) -> None:
        with self._changed:
            request.cancelled = True
            self._changed.notify()

    def stop(self) -> None:
        """Ends the loop after the step under way; what still runs is cancelled."""
        with self._changed:
            self._stopping = True
            for request in (*self._scheduler.running, *self._scheduler.waiting):
                request.cancelled = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def stats(self) -> EngineStats:
        with self._changed:
            return EngineStats(
                running_requests=len(self._scheduler.running),
                queued_requests=len(self._scheduler.waiting),
                forward_passes=self._forward_passes,
                committed_tokens=self._committed_tokens,
                finished_requests=self._finished[FinishReason.STOP] + self._finished[FinishReason.LENGTH],
                cancelled_requests=self._finished[FinishReason.CANCELLED],
            )

    def _run(self) -> None:
        while (requests := self._next_requests()) is not None:
            try:
                updates = self._step(requests)
            except Exception:
                log.exception("step failed", requests=[request.request_id for request in requests])
                self._fail(requests)
                continue
            with self._changed:
                self._forward_passes += 1
                self._committed_tokens += sum(len(update.committed) for update in updates)
            for request, update in zip(requests, updates, strict=True):
                request.publish(update)

    def _next_requests(self) -> list[Request] | None:
        """The requests of the next step, once there are some; none when the engine stops."""
        while True:
            with self._changed:
                over = self._scheduler.finished()
                for request in over:
                    self._finished[request.finish_reason or FinishReason.FAILED] += 1
                requests = self._scheduler.schedule()
                if not requests and not over:
                    if self._stopping:
                        return None
                    self._changed.wait()
            for request in over:
                request.publish(request.update((), request.finish_reason))
            if requests:
                return requests

    @torch.inference_mode()
    def _step(self, requests: list[Request]) -> list[Update]:
        """One forward pass: what each request commits."""
        batch = Batch.pack(requests, self.model.device)
        network = self.model.network
        hidden = network(batch.token_ids, batch.positions, batch.attend)
        logits = network.logits(hidden[batch.masked_rows]).float()
        tokens = choose_tokens(logits, self.model.mask_token_id, batch.knobs)
        log_probabilities = log_probability(logits, tokens)
        confidences = confidence(log_probabilities, batch.at_random[batch.owners], batch.knobs)
        chosen = choose_positions(batch.in_blocks(confidences, -torch.inf), batch.quotas, batch.thresholds)
        committed = chosen[batch.owners, batch.offsets].nonzero().flatten()
        return self._commit(batch, committed, tokens, log_probabilities)

    def _commit(self, batch: Batch, committed: Tensor, tokens: Tensor, log_probabilities: Tensor) -> list[Update]:
        """Brings one step's decisions to the host and writes them onto the canvases."""
        commits: list[list[CommittedToken]] = [[] for _ in batch.requests]
        columns = (batch.owners, batch.knobs.positions, tokens, log_probabilities, batch.knobs.steps)
        for owner, position, token, logprob, step in zip(
            *(column[committed].tolist() for column in columns), strict=True
        ):
            commits[owner].append(CommittedToken(position, token, logprob, step + 1))
        updates = []
        for request, own in zip(batch.requests, commits, strict=True):
            request.commit(tuple(own))
            updates.append(request.update(tuple(own)))
        return updates

    def _fail(self, requests: list[Request]) -> None:
        with self._changed:
            self._scheduler.drop(requests)
            self._finished[FinishReason.FAILED] += len(requests)
        for request in requests:
            request.publish(request.update((), FinishReason.FAILED))
