"""Which: how sure the model is of the token chosen at each masked position."""

import torch
from torch import Tensor

from worker.decoding.randomness import Stream, uniform
from worker.decoding.sampling import SamplingKnobs


def log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    """Natural log of the clean softmax of float32 `logits` `[rows, vocabulary]` at `tokens`: float32 `[rows]`."""
    # Not `logits - logits.logsumexp()`: the difference of two large numbers makes all that is nearly certain equal.
    return logits.log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)


def confidence(log_probabilities: Tensor, at_random: Tensor, knobs: SamplingKnobs) -> Tensor:
    """Float64 `[rows]`: the probability of the chosen token, or a uniform number for the rows that are `at_random`."""
    drawn = uniform(Stream.REMASKING, knobs.seeds, knobs.positions, knobs.steps, columns=1).squeeze(1)
    return torch.where(at_random, drawn, log_probabilities.double().exp())
