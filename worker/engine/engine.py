"""The loop that denoises: one thread, one forward pass after the other, for all running requests at once."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
import torch
from torch import Tensor

from worker.decoding.commit import choose_positions
from worker.decoding.confidence import confidence, log_probability
from worker.decoding.sampling import SamplingKnobs, choose_tokens
from worker.engine.batch import Batch
from worker.engine.request import CommittedToken, DecodingOptions, FinishReason, Publish, Request, Update
from worker.engine.scheduler import Scheduler
from worker.models.loading import LoadedModel

log = structlog.get_logger(__name__)

# Bounds what logits take: a request may ask for thousands of positions of a vocabulary of a hundred thousand tokens.
LOGITS_AT_ONCE = 1 << 24


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
        prompt: Sequence[int],
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
                for request in requests:
                    request.failed = True
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
                over = self._scheduler.take_finished()
                for _, reason in over:
                    self._finished[reason] += 1
                requests = self._scheduler.schedule()
                if not requests and not over:
                    if self._stopping:
                        return None
                    self._changed.wait()
            for request, reason in over:
                request.publish(request.update((), reason))
            if requests:
                return requests

    @torch.inference_mode()
    def _step(self, requests: list[Request]) -> list[Update]:
        """One forward pass: what each request commits."""
        batch = Batch.pack(requests, self.model.device)
        hidden = self.model.network(batch.token_ids, batch.positions, batch.attend)
        tokens, log_probabilities = self._predict(hidden[batch.masked_rows], batch.knobs)
        confidences = confidence(log_probabilities, batch.at_random[batch.owners], batch.knobs)
        chosen = choose_positions(batch.by_request(confidences, -torch.inf), batch.quotas, batch.thresholds)
        return self._commit(batch, chosen[batch.owners, batch.places], tokens, log_probabilities)

    def _predict(self, hidden: Tensor, knobs: SamplingKnobs) -> tuple[Tensor, Tensor]:
        """The token and its log probability for each of the `hidden` rows, a chunk of logits at a time."""
        predicted = []
        size = max(1, LOGITS_AT_ONCE // self.model.network.config.embedding_size)
        for start in range(0, len(hidden), size):
            rows = slice(start, start + size)
            logits = self.model.network.logits(hidden[rows]).float()
            tokens = choose_tokens(logits, self.model.mask_token_id, knobs.of(rows))
            predicted.append((tokens, log_probability(logits, tokens)))
        tokens, log_probabilities = (torch.cat(chunks) for chunks in zip(*predicted, strict=True))
        return tokens, log_probabilities

    def _commit(self, batch: Batch, chosen: Tensor, tokens: Tensor, log_probabilities: Tensor) -> list[Update]:
        """Brings one step's decisions to the host and writes them onto the canvases."""
        commits: list[list[CommittedToken]] = [[] for _ in batch.requests]
        columns = (batch.owners, batch.knobs.positions, tokens, log_probabilities, batch.knobs.steps)
        for owner, position, token, logprob, step in zip(*(column[chosen].tolist() for column in columns), strict=True):
            commits[owner].append(CommittedToken(position, token, logprob, step + 1))
        for request, own in zip(batch.requests, commits, strict=True):
            request.commit(own)
        return [request.update(own) for request, own in zip(batch.requests, commits, strict=True)]
