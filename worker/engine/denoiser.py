"""One denoising step: from the canvases of some requests to what each of them commits."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from worker.decoding.commit import choose_positions
from worker.decoding.predict import Predictions, guided, predict
from worker.engine.batch import Batch, Chunk, rounded_down, rounded_up
from worker.engine.columns import Array
from worker.engine.forward import choose_forward
from worker.engine.kv_cache import KeysAndValues, Slot
from worker.engine.request import CommittedToken, DecodingOptions, Request, TokenLogprob, Update
from worker.engine.scheduler import Limits
from worker.models.loading import LoadedModel

# Bounds what logits take: a request may ask for thousands of positions of a vocabulary of a hundred thousand tokens.
# On a CPU they are read several times, which is faster while they are in its cache.
LOGITS_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 24}


class Denoiser:
    """The model, the arena of keys and values, and the step that uses both.

    Probabilities are computed in `confidence_dtype`.
    """

    def __init__(self, model: LoadedModel, limits: Limits, confidence_dtype: torch.dtype) -> None:
        self.model = model
        self._confidence_dtype = confidence_dtype
        self._rows_at_once = rounded_down(LOGITS_AT_ONCE[model.device.type] // model.network.config.embedding_size)
        # One position more than requests may have, for what nobody reads.
        self._spare = Slot(limits.positions, 1)
        self._arena = KeysAndValues(model.network.config, self._spare.end, model.dtype, model.device)
        self._forward = choose_forward(model, self._arena, max_runs=2 * limits.max_running)

    def probe(self) -> None:
        """One forward pass over a single position, which no request has. Raises what the device raises."""
        options = DecodingOptions(gen_length=1, block_length=1, steps=1)
        request = Request("probe", (), (), options, self.model.mask_token_id, lambda _: None)
        request.slot = self._spare
        self.step([request])

    @torch.inference_mode()
    def step(self, requests: Sequence[Request]) -> list[Update]:
        """One forward pass, and what it makes each request commit."""
        batch = Batch.pack(requests, self.model.device, rows_at_once=self._rows_at_once, spare=self._spare.start)
        hidden = self._forward(batch)
        predictions = [self._predict(hidden, chunk) for chunk in batch.chunks]
        confidences = batch.by_request(torch.cat([chunk.confidences for chunk in predictions]), -torch.inf)
        chosen = choose_positions(confidences, batch.quotas, batch.thresholds, batch.factors)
        decisions = _on_host(chosen[batch.owners, batch.ranks], predictions)
        alternatives = dict(_alternatives(batch.chunks, predictions))
        return list(_commit(requests, decisions, alternatives))

    def _predict(self, hidden: Tensor, chunk: Chunk) -> Predictions:
        logits = self._logits(hidden, chunk.rows)
        if chunk.guided is not None:
            unconditional = self._logits(hidden, chunk.twins)
            logits[chunk.guided] = guided(logits[chunk.guided], unconditional, chunk.scales)
        return predict(logits, self.model.mask_token_id, chunk.knobs)

    def _logits(self, hidden: Tensor, rows: slice) -> Tensor:
        """Those of some rows, computed for one of few sizes: the rows behind them have hidden states too."""
        count = rows.stop - rows.start
        logits = self.model.network.logits(hidden[rows.start : rows.start + rounded_up(count)])
        return logits[:count].to(self._confidence_dtype)


def _on_host(chosen: Tensor, predictions: Sequence[Predictions]) -> Array:
    """Whether each masked position is committed, its token and log probability, in one copy: `[3, masked]`."""
    tokens = torch.cat([chunk.tokens for chunk in predictions])
    logprobs = torch.cat([chunk.logprobs for chunk in predictions])
    return torch.stack([column.double() for column in (chosen, tokens, logprobs)]).cpu().numpy()


def _alternatives(
    chunks: Sequence[Chunk], predictions: Sequence[Predictions]
) -> Iterator[tuple[int, list[TokenLogprob]]]:
    """The likeliest tokens of each masked position for which somebody asked."""
    for chunk, predicted in zip(chunks, predictions, strict=True):
        if chunk.knobs.ranked is not None:
            columns = (chunk.knobs.ranked + chunk.rows.start, predicted.top_ids, predicted.top_logprobs)
            for row, ids, logprobs in zip(*(column.tolist() for column in columns), strict=True):
                yield row, [TokenLogprob(*one) for one in zip(ids, logprobs, strict=True)]


def _commit(
    requests: Sequence[Request], decisions: Array, alternatives: Mapping[int, list[TokenLogprob]]
) -> Iterator[Update]:
    """Writes one step's decisions onto the canvases."""
    first = 0
    for request in requests:
        chosen, ids, logprobs = decisions[:, first : first + len(request.masked)]
        tokens = [
            CommittedToken(
                position=int(request.masked[row]),
                id=int(ids[row]),
                logprob=float(logprobs[row]),
                step=request.forward_passes + 1,
                top=alternatives.get(first + row, [])[: request.options.top_logprobs],
            )
            for row in np.flatnonzero(chosen)
        ]
        first += len(request.masked)
        yield request.commit(tokens)
