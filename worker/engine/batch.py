"""One forward pass's worth of requests: their rows packed one behind the other, their knobs as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from worker.decoding.randomness import signed
from worker.decoding.sampling import SamplingKnobs
from worker.engine.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Packed rows of `requests`, and which of the rows are masked positions of an active block.

    Shapes: `token_ids` and `positions` `[rows]`; `masked_rows`, `owners` (index of the request) and `places` (index
    among its masked positions) `[masked]`, as are the columns of `knobs`; `quotas`, `thresholds`, `at_random`
    `[requests]`.
    """

    requests: Sequence[Request]
    lengths: list[int]
    token_ids: Tensor
    positions: Tensor
    masked_rows: Tensor
    owners: Tensor
    places: Tensor
    knobs: SamplingKnobs
    quotas: Tensor
    thresholds: Tensor
    at_random: Tensor

    @classmethod
    def pack(cls, requests: Sequence[Request], device: torch.device) -> "Batch":
        """Few, large copies to the device: everything of one kind travels together."""
        lengths = [request.length for request in requests]
        token_ids = [token for one in requests for token in (*one.prompt, *one.generated)]
        positions = [position for length in lengths for position in range(length)]
        token_ids, positions = torch.tensor([token_ids, positions]).to(device)
        owners, places, generated, rows = torch.tensor(list(zip(*_masked(requests), strict=True))).to(device)
        options = [request.options for request in requests]
        seeds, steps, top_k, quotas, at_random = torch.tensor(
            [
                [signed(one.seed) for one in options],
                [request.forward_passes for request in requests],
                [one.top_k for one in options],
                [request.quota for request in requests],
                [one.random_remasking for one in options],
            ]
        ).to(device)
        temperature, top_p, thresholds = torch.tensor(
            [
                [one.temperature for one in options],
                [one.top_p for one in options],
                [torch.nan if one.threshold is None else one.threshold for one in options],
            ],
            dtype=torch.float64,
        ).to(device)
        return cls(
            requests=requests,
            lengths=lengths,
            token_ids=token_ids,
            positions=positions,
            masked_rows=rows,
            owners=owners,
            places=places,
            knobs=SamplingKnobs(
                temperature=temperature[owners],
                top_p=top_p[owners],
                top_k=top_k[owners],
                seeds=seeds[owners],
                positions=generated,
                steps=steps[owners],
            ),
            quotas=quotas,
            thresholds=thresholds,
            at_random=at_random.bool(),
        )

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Full attention of every request within itself; see `worker.models.llada.Attend` for the shapes."""
        del layer
        attended = []
        for own in zip(*(torch.split(rows, self.lengths) for rows in (queries, keys, values)), strict=True):
            query, key, value = (rows.transpose(0, 1)[None] for rows in own)
            heads = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
            attended.append(heads[0].transpose(0, 1))
        return torch.cat(attended)

    def by_request(self, values: Tensor, absent: float) -> Tensor:
        """`[masked]` values as `[requests, width]`, a line per request, `absent` behind its last masked position."""
        width = max(len(request.masked) for request in self.requests)
        spread = values.new_full((len(self.requests), width), absent)
        spread[self.owners, self.places] = values
        return spread


def _masked(requests: Sequence[Request]) -> Iterator[tuple[int, int, int, int]]:
    """Owner, place, generated position and row of every masked position of an active block."""
    first_row = 0
    for owner, request in enumerate(requests):
        for place, position in enumerate(request.masked):
            yield owner, place, position, first_row + len(request.prompt) + position
        first_row += request.length
