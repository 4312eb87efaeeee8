"""One forward pass's worth of requests: their rows packed one behind the other, their knobs as columns."""

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

    Shapes: `token_ids` and `positions` `[rows]`; `masked_rows`, `owners` (index of the request) and `offsets` (position
    in its block) `[masked]`, as are the columns of `knobs`; `quotas`, `thresholds`, `at_random` `[requests]`.
    """

    requests: list[Request]
    lengths: list[int]
    token_ids: Tensor
    positions: Tensor
    masked_rows: Tensor
    owners: Tensor
    offsets: Tensor
    knobs: SamplingKnobs
    quotas: Tensor
    thresholds: Tensor
    at_random: Tensor

    @classmethod
    def pack(cls, requests: list[Request], device: torch.device) -> "Batch":
        lengths = [len(request.canvas) for request in requests]
        starts = [sum(lengths[:index]) for index in range(len(requests))]
        masked = [request.masked for request in requests]
        owners = torch.repeat_interleave(torch.tensor([len(offsets) for offsets in masked]))
        offsets = torch.cat(masked)
        options = [request.options for request in requests]
        generated = offsets + torch.tensor([request.block_start for request in requests])[owners]
        first_rows = torch.tensor([start + len(one.prompt) for start, one in zip(starts, requests, strict=True)])
        knobs = SamplingKnobs(
            temperature=torch.tensor([one.temperature for one in options], dtype=torch.float64)[owners].to(device),
            top_p=torch.tensor([one.top_p for one in options], dtype=torch.float64)[owners].to(device),
            top_k=torch.tensor([one.top_k for one in options])[owners].to(device),
            seeds=torch.tensor([signed(one.seed) for one in options])[owners].to(device),
            positions=generated.to(device),
            steps=torch.tensor([request.forward_passes for request in requests])[owners].to(device),
        )
        thresholds = [torch.nan if one.threshold is None else one.threshold for one in options]
        return cls(
            requests=requests,
            lengths=lengths,
            token_ids=torch.cat([request.canvas for request in requests]).to(device),
            positions=torch.cat([torch.arange(length) for length in lengths]).to(device),
            masked_rows=(generated + first_rows[owners]).to(device),
            owners=owners.to(device),
            offsets=offsets.to(device),
            knobs=knobs,
            quotas=torch.tensor([request.quota for request in requests]).to(device),
            thresholds=torch.tensor(thresholds, dtype=torch.float64).to(device),
            at_random=torch.tensor([one.random_remasking for one in options]).to(device),
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

    def in_blocks(self, values: Tensor, absent: float) -> Tensor:
        """`[masked]` values as `[requests, width]`, a line per active block, `absent` where nothing is masked."""
        width = max(request.options.block_length for request in self.requests)
        spread = values.new_full((len(self.requests), width), absent)
        spread[self.owners, self.offsets] = values
        return spread
