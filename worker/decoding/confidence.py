"""Which: how sure the model is of the token chosen at each masked position."""

import torch
from torch import Tensor

from worker.decoding.randomness import Stream, uniform
from worker.decoding.sampling_metadata import SamplingTensors


def confidence(log_probabilities: Tensor, tokens: Tensor, sampling: SamplingTensors) -> Tensor:
    """Float64 `[rows]`, from 0 to 1, of the clean `log_probabilities` `[rows, vocabulary]` and the chosen `tokens`.

    Entropy is told as exp(-entropy), in the same order, so that a threshold means something for it too. Margin and
    entropy are those of the whole softmax, the mask token's share included.
    """
    sure = log_probabilities.gather(1, tokens[:, None]).squeeze(1).double().exp()
    if sampling.margin_rows is not None:
        first, second = log_probabilities[sampling.margin_rows].topk(2).values.double().exp().unbind(1)
        sure[sampling.margin_rows] = first - second
    if sampling.entropy_rows is not None:
        logs = log_probabilities[sampling.entropy_rows]
        # Not `torch.special.entr`, which a GPU compiles when it is first asked for.
        summands = (logs.exp() * logs).masked_fill(logs == -torch.inf, 0)
        sure[sampling.entropy_rows] = summands.sum(-1).double().exp()
    if sampling.random_rows is not None:
        rows = sampling.random_rows
        drawn = uniform(
            Stream.REMASKING, sampling.seeds[rows], sampling.positions[rows], sampling.steps[rows], columns=1
        )
        # What is not a number stays that: no number is drawn for it.
        sure[rows] = drawn.squeeze(1).where(sure[rows].isfinite(), torch.nan)
    return sure
