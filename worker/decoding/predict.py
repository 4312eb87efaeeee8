"""From logits to what each masked position would take, and how surely."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.decoding.confidence import confidence
from worker.decoding.knobs import Knobs
from worker.decoding.sampling import choose_tokens


@dataclass(frozen=True, slots=True)
class Predictions:
    """`tokens` int64, `logprobs` and `confidences` float, each `[rows]`.

    `top_ids` and `top_logprobs` are `[ranked, alternatives]`, the likeliest first.
    """

    tokens: Tensor
    logprobs: Tensor
    confidences: Tensor
    top_ids: Tensor
    top_logprobs: Tensor


def predict(logits: Tensor, mask_token_id: int, knobs: Knobs) -> Predictions:
    """Decides for each row of float `logits` `[rows, vocabulary]`, which it may overwrite.

    Log probabilities are those of the clean softmax, so the model's own. Where logits are biased, confidences are those
    of the biased softmax. The mask token is never chosen.
    """
    own = logits.log_softmax(-1)
    decisive = own
    if knobs.bias:
        logits.index_put_((knobs.bias.rows, knobs.bias.tokens), knobs.bias.values.to(logits.dtype), accumulate=True)
        decisive = own.index_copy(0, knobs.bias.biased, logits[knobs.bias.biased].log_softmax(-1))
    logits[:, mask_token_id] = -torch.inf
    tokens = choose_tokens(logits, knobs)
    ranked = own[:0] if knobs.ranked is None else own[knobs.ranked]
    top = ranked.topk(min(knobs.alternatives, own.shape[1]))
    return Predictions(
        tokens=tokens,
        logprobs=own.gather(1, tokens[:, None]).squeeze(1),
        confidences=confidence(decisive, tokens, knobs),
        top_ids=top.indices,
        top_logprobs=top.values,
    )


def guided(conditional: Tensor, unconditional: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance as LLaDA's `generate` has it: logits `[rows, vocabulary]`, `scale` `[rows]`."""
    return unconditional + (scale[:, None] + 1) * (conditional - unconditional)
