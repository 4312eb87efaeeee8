"""One rank: from the plan of a step to what the step decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.decoding.commit import choose_positions
from worker.decoding.predict import Predictions, guided, predict
from worker.decoding.sampling_metadata import Array, SamplingTensors, to_device
from worker.engine.cuda_graphs import Forward, choose_forward
from worker.engine.step_plan import StepPlan, rounded_down, rounded_up
from worker.kvcache.arena import KVCache
from worker.models.spec import LoadedModel

# Bounds what logits take: a request may ask for thousands of positions of a vocabulary of a hundred thousand tokens.
# On a CPU they are read several times, which is faster while they are in its cache.
LOGITS_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 24}


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step decides about each of its candidates.

    Bool `chosen`, int64 `token_ids` and float64 `logprobs`, each `[candidates]`; `top` are the likeliest tokens and
    their log probabilities where somebody asked, by the candidate's number.
    """

    chosen: Array
    token_ids: Array
    logprobs: Array
    top: Mapping[int, Sequence[tuple[int, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitsChunk:
    """Some of the candidates, few enough for their logits to be held at once.

    `rows` are their hidden states; `twins` those of the unconditional twins of the rows `guided_rows`, int64, which
    have float32 `scales`.
    """

    rows: slice
    sampling: SamplingTensors
    guided_rows: Tensor | None
    twins: slice
    scales: Tensor


class ModelRunner:
    """The model, its KV cache, and the step that uses both. Probabilities are computed in `confidence_dtype`."""

    def __init__(
        self,
        model: LoadedModel,
        cache: KVCache,
        *,
        max_segments: int,
        confidence_dtype: torch.dtype,
        use_graphs: bool = True,
    ) -> None:
        self.model = model
        self.cache = cache
        self.forward: Forward = choose_forward(model, cache, max_segments=max_segments, use_graphs=use_graphs)
        self.rows_at_once = rounded_down(LOGITS_AT_ONCE[model.device.type] // model.spec.padded_vocab_size)
        self._confidence_dtype = confidence_dtype

    @torch.inference_mode()
    def execute(self, plan: StepPlan) -> StepOutput:
        """Run one forward pass, and decide what each sequence commits."""
        hidden = self.forward(plan)
        chunks = list(self._chunks(plan))
        predictions = [self._predict(hidden, chunk) for chunk in chunks]
        chosen = self._choose(plan, torch.cat([one.confidences for one in predictions]))
        decided, token_ids, logprobs = _on_host(chosen, predictions)
        return StepOutput(
            chosen=decided.astype(bool),
            token_ids=token_ids.astype(np.int64),
            logprobs=logprobs,
            top=dict(_top(chunks, predictions)),
        )

    def _chunks(self, plan: StepPlan) -> Iterator[LogitsChunk]:
        device, count = self.model.device, len(plan.request_indices)
        twin = count
        for start in range(0, count, self.rows_at_once):
            rows = slice(start, min(start + self.rows_at_once, count))
            scales = plan.sampling.scales[rows]
            guided_rows = np.flatnonzero(scales)
            twins = slice(twin, twin + len(guided_rows))
            twin = twins.stop
            yield LogitsChunk(
                rows=rows,
                sampling=plan.sampling.tensors(rows, device),
                guided_rows=to_device(device, guided_rows) if len(guided_rows) else None,
                twins=twins,
                scales=to_device(device, scales[guided_rows]),
            )

    def _predict(self, hidden: Tensor, chunk: LogitsChunk) -> Predictions:
        logits = self._logits(hidden, chunk.rows)
        if chunk.guided_rows is not None:
            unconditional = self._logits(hidden, chunk.twins)
            logits[chunk.guided_rows] = guided(logits[chunk.guided_rows], unconditional, chunk.scales)
        return predict(logits, self.model.spec.mask_token_id, chunk.sampling)

    def _logits(self, hidden: Tensor, rows: slice) -> Tensor:
        """Compute those of some rows, for one of few sizes: the rows behind them have hidden states too."""
        count = rows.stop - rows.start
        logits = self.model.network.compute_logits(hidden[rows.start : rows.start + rounded_up(count)])
        return logits[:count].to(self._confidence_dtype)

    def _choose(self, plan: StepPlan, confidences: Tensor) -> Tensor:
        """Return bool `[candidates]` of float `confidences` `[candidates]`: what the sequences' rules commit."""
        device = self.model.device
        owners, ranks = to_device(device, np.stack([plan.request_indices, plan.rank_in_request]))
        least, most = to_device(device, np.stack([plan.rules.least, plan.rules.most]))
        thresholds, factors = to_device(device, np.stack([plan.rules.thresholds, plan.rules.factors]))
        width = int(plan.rank_in_request.max(initial=-1)) + 1
        by_request = confidences.new_full((len(plan.rules.least), width), -torch.inf)
        by_request[owners, ranks] = confidences
        sequential = to_device(device, plan.rules.sequential) if plan.rules.sequential.any() else None
        return choose_positions(by_request, least, most, thresholds, factors, sequential=sequential)[owners, ranks]


def _on_host(chosen: Tensor, predictions: Sequence[Predictions]) -> Array:
    """Return whether each candidate is committed, its token and log probability, in one copy: `[3, candidates]`."""
    tokens = torch.cat([one.tokens for one in predictions])
    logprobs = torch.cat([one.logprobs for one in predictions])
    on_host: Array = torch.stack([column.double() for column in (chosen, tokens, logprobs)]).cpu().numpy()
    return on_host


def _top(
    chunks: Sequence[LogitsChunk], predictions: Sequence[Predictions]
) -> Iterator[tuple[int, Sequence[tuple[int, float]]]]:
    """Yield the likeliest tokens of each candidate for which somebody asked."""
    for chunk, predicted in zip(chunks, predictions, strict=True):
        if chunk.sampling.logprob_rows is not None:
            columns = (chunk.sampling.logprob_rows + chunk.rows.start, predicted.top_ids, predicted.top_logprobs)
            for row, ids, logprobs in zip(*(column.tolist() for column in columns), strict=True):
                yield row, list(zip(ids, logprobs, strict=True))
