"""Which: how sure the model is of the token chosen at each masked position."""

from enum import Enum

import torch
from torch import Tensor

from worker.decoding.knobs import Knobs
from worker.decoding.randomness import Stream, uniform


class Remasking(Enum):
    """What a step calls sure, and so commits first."""

    LOW_CONFIDENCE = "low_confidence"  # the probability of the chosen token
    RANDOM = "random"  # a uniform number
    MARGIN = "margin"  # the gap between the probabilities of the two likeliest tokens
    ENTROPY = "entropy"  # exp(-entropy): 1 where all probability is on one token


def confidence(log_probabilities: Tensor, tokens: Tensor, knobs: Knobs) -> Tensor:
    """Float64 `[rows]`, from 0 to 1, of the clean `log_probabilities` `[rows, vocabulary]` and the chosen `tokens`.

    Entropy is told as exp(-entropy), in the same order, so that a threshold means something for it too. Margin and
    entropy are those of the whole softmax, the mask token's share included.
    """
    sure = log_probabilities.gather(1, tokens[:, None]).squeeze(1).double().exp()
    if knobs.by_margin is not None:
        first, second = log_probabilities[knobs.by_margin].topk(2).values.double().exp().unbind(1)
        sure[knobs.by_margin] = first - second
    if knobs.by_entropy is not None:
        entropy = torch.special.entr(log_probabilities[knobs.by_entropy].exp()).sum(-1)
        sure[knobs.by_entropy] = entropy.double().neg().exp()
    if knobs.at_random is not None:
        rows = knobs.at_random
        drawn = uniform(Stream.REMASKING, knobs.seeds[rows], knobs.positions[rows], knobs.steps[rows], columns=1)
        # What is not a number stays that: no number is drawn for it.
        sure[rows] = drawn.squeeze(1).where(sure[rows].isfinite(), torch.nan)
    return sure
