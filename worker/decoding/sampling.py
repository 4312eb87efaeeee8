"""What: the token that each masked position would take."""

import math

import torch
from torch import Tensor

from worker.decoding.randomness import Stream, uniform
from worker.decoding.sampling_metadata import SamplingTensors

GROUP = 128


def choose_tokens(logits: Tensor, sampling: SamplingTensors) -> Tensor:
    """Int64 `[rows]`: the argmax of `logits` `[rows, vocabulary]`, or a sample if the temperature is above 0.

    A sample is the argmax after Gumbel noise (LLaDA's `add_gumbel_noise`), in float64, since float32 noise favours
    likely tokens.
    """
    chosen = _argmax(logits)
    if sampling.sampled_rows is not None:
        chosen[sampling.sampled_rows] = _sample(logits[sampling.sampled_rows].double(), sampling, sampling.sampled_rows)
    return chosen


def _argmax(logits: Tensor) -> Tensor:
    """The index of the first maximum. On a CPU torch finds a maximum in vectors, but its index number by number."""
    rows, vocabulary = logits.shape
    group = math.gcd(vocabulary, GROUP)
    if logits.device.type != "cpu" or group == 1:
        return logits.argmax(-1)
    groups = logits.view(rows, -1, group)
    best = groups.amax(-1).argmax(-1)
    return best * group + groups[torch.arange(rows), best].argmax(-1)


def _sample(logits: Tensor, sampling: SamplingTensors, rows: Tensor) -> Tensor:
    scaled = logits / sampling.temperature[rows, None]
    if sampling.filtered_rows is not None:
        filtered = rows[sampling.filtered_rows]
        kept = _nucleus(
            scaled[sampling.filtered_rows], sampling.top_p[filtered], sampling.top_k[filtered], sampling.min_p[filtered]
        )
        scaled[sampling.filtered_rows] = scaled[sampling.filtered_rows].masked_fill(~kept, -torch.inf)
    noise = uniform(Stream.TOKEN, sampling.seeds[rows], sampling.positions[rows], sampling.steps[rows], logits.shape[1])
    return (scaled - torch.log(-torch.log(noise))).argmax(-1)


def _nucleus(scaled: Tensor, top_p: Tensor, top_k: Tensor, min_p: Tensor) -> Tensor:
    """Return which tokens may be sampled, at least one.

    Those at least `min_p` times as likely as the likeliest, of them the `top_k` likeliest (0: all), of them those that
    make up `top_p`.
    """
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(scaled.shape[1], device=scaled.device)
    kept = (rank < top_k[:, None]) | (top_k[:, None] == 0)
    kept &= ordered - ordered[:, :1] >= min_p.log()[:, None]
    probability = ordered.masked_fill(~kept, -torch.inf).softmax(-1)
    before = probability.cumsum(-1) - probability
    # At top_p 1 rounding must not drop the tail.
    kept &= (before < top_p[:, None]) | (top_p[:, None] >= 1)
    kept |= rank == 0
    return torch.zeros_like(kept).scatter(1, order, kept)
