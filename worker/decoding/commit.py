"""The rule: which candidates a step commits, given how sure the model is of each."""

import torch
from torch import Tensor


def choose_positions(
    confidences: Tensor,
    least: Tensor,
    most: Tensor,
    thresholds: Tensor,
    factors: Tensor,
    *,
    sequential: Tensor | None = None,
) -> Tensor:
    """Return bool `[requests, width]`: what each request commits of its candidates, the surest first.

    `confidences` is float `[requests, width]`, -inf where there is no candidate. Int64 `least` and `most` and float
    `thresholds` and `factors`, NaN for none, are `[requests]`. As many are committed as pass, at least `least`, at most
    `most`. With a threshold those pass that are at or above it (Fast-dLLM's rule); with a factor the first n, n the
    largest for which (n + 1)(1 - confidence of the nth) is below it (Theorem 1 of the Fast-dLLM paper). The candidates
    of bool `sequential` `[requests]` are taken in their order, up to the first that does not pass.
    """
    if sequential is None:
        ordered, order = confidences.sort(dim=-1, descending=True, stable=True)
    else:
        in_turn = sequential[:, None] & (confidences > -torch.inf)
        order = confidences.masked_fill(in_turn, 0).argsort(dim=-1, descending=True, stable=True)
        ordered = confidences.gather(1, order)
    rank = torch.arange(confidences.shape[1], device=confidences.device)
    by_threshold = ordered >= thresholds[:, None]
    # The left side grows with n, so all ranks up to the largest n meet the rule.
    by_factor = (rank + 2) * (1 - ordered) < factors[:, None]
    passing = (rank < least[:, None]) | by_threshold | by_factor
    if sequential is not None:
        passing = passing.cumprod(dim=-1).bool()
    chosen = passing & (rank < most[:, None]) & (ordered > -torch.inf)
    return torch.zeros_like(chosen).scatter(1, order, chosen)
