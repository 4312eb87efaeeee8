"""What: the token that each masked position would take."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.decoding.randomness import Stream, uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingKnobs:
    """One value per row, each `[rows]`: float64 `temperature` and `top_p`, int64 all others."""

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor
    seeds: Tensor
    positions: Tensor
    steps: Tensor

    def of(self, rows: Tensor | slice) -> "SamplingKnobs":
        return SamplingKnobs(
            temperature=self.temperature[rows],
            top_p=self.top_p[rows],
            top_k=self.top_k[rows],
            seeds=self.seeds[rows],
            positions=self.positions[rows],
            steps=self.steps[rows],
        )


def choose_tokens(logits: Tensor, mask_token_id: int, knobs: SamplingKnobs) -> Tensor:
    """Int64 `[rows]`: the argmax of float32 `logits` `[rows, vocabulary]`, or a sample if the temperature is above 0.

    A sample is the argmax after Gumbel noise (LLaDA's `add_gumbel_noise`), in float64, since float32 noise favours
    likely tokens.
    The mask token is never chosen.
    """
    allowed = logits.clone()
    allowed[:, mask_token_id] = -torch.inf
    chosen = allowed.argmax(-1)
    sampled = knobs.temperature.nonzero().flatten()
    if len(sampled):
        chosen[sampled] = _sample(allowed[sampled].double(), knobs.of(sampled))
    return chosen


def _sample(logits: Tensor, knobs: SamplingKnobs) -> Tensor:
    scaled = logits / knobs.temperature[:, None]
    scaled = scaled.masked_fill(~_nucleus(scaled, knobs.top_p, knobs.top_k), -torch.inf)
    noise = uniform(Stream.TOKEN, knobs.seeds, knobs.positions, knobs.steps, logits.shape[1])
    return (scaled - torch.log(-torch.log(noise))).argmax(-1)


def _nucleus(scaled: Tensor, top_p: Tensor, top_k: Tensor) -> Tensor:
    """Which tokens may be sampled: the `top_k` likeliest (0: all), of them those that make up `top_p`; at least one."""
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(scaled.shape[1], device=scaled.device)
    kept = (rank < top_k[:, None]) | (top_k[:, None] == 0)
    probability = ordered.masked_fill(~kept, -torch.inf).softmax(-1)
    before = probability.cumsum(-1) - probability
    # At top_p 1 rounding must not drop the tail.
    kept &= (before < top_p[:, None]) | (top_p[:, None] >= 1)
    kept |= rank == 0
    return torch.zeros_like(kept).scatter(1, order, kept)
