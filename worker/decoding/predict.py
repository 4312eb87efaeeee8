"""From logits to what each masked position would take, and how surely."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.decoding.confidence import confidence
from worker.decoding.sampling import choose_tokens
from worker.decoding.sampling_metadata import SamplingTensors


@dataclass(frozen=True, slots=True)
class Predictions:
    """`tokens` int64, `logprobs` and `confidences` float, each `[rows]`.

    `top_ids` and `top_logprobs` are `[logprob_rows, num_logprobs]`, the likeliest first.
    """

    tokens: Tensor
    logprobs: Tensor
    confidences: Tensor
    top_ids: Tensor
    top_logprobs: Tensor


def predict(logits: Tensor, mask_token_id: int, sampling: SamplingTensors) -> Predictions:
    """Decides for each row of float `logits` `[rows, vocabulary]`, which it may overwrite.

    Log probabilities are those of the clean softmax, so the model's own. Where logits are biased, confidences are those
    of the biased softmax. The mask token is never chosen, nor is what is excluded.
    """
    own = logits.log_softmax(-1)
    bias, biased = sampling.bias, own[:0]
    if bias:
        logits.index_put_((bias.rows, bias.tokens), bias.values.to(logits.dtype), accumulate=True)
        biased = logits[bias.biased_rows].log_softmax(-1)
    logits[:, mask_token_id] = -torch.inf
    if sampling.excluded:
        logits.index_put_((sampling.excluded.rows, sampling.excluded.tokens), logits.new_tensor(-torch.inf))
    tokens = choose_tokens(logits, sampling)
    ranked = own[:0] if sampling.logprob_rows is None else own[sampling.logprob_rows]
    top = ranked.topk(min(sampling.num_logprobs, own.shape[1]))
    logprobs = own.gather(1, tokens[:, None]).squeeze(1)
    if bias:
        own.index_copy_(0, bias.biased_rows, biased)  # the model's own have been read
    return Predictions(
        tokens=tokens,
        logprobs=logprobs,
        confidences=confidence(own, tokens, sampling),
        top_ids=top.indices,
        top_logprobs=top.values,
    )


def guided(conditional: Tensor, unconditional: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance as LLaDA's `generate` has it: logits `[rows, vocabulary]`, `scale` `[rows]`."""
    return unconditional + (scale[:, None] + 1) * (conditional - unconditional)
