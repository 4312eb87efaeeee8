"""The rule: which masked positions a step commits, given how sure the model is of each."""

import torch
from torch import Tensor


def choose_positions(confidences: Tensor, quotas: Tensor, thresholds: Tensor, factors: Tensor) -> Tensor:
    """Bool `[requests, width]`: what each request commits of its masked positions, the surest first.

    `confidences` is float `[requests, width]`, -inf where nothing is masked. `quotas` is int64 `[requests]`, the most
    positions that this step may commit. `thresholds` and `factors` are float `[requests]`, NaN where the request has
    none; with neither, as many positions as the quota are committed, else the surest and as many more as the rule
    allows: with a threshold those at or above it (Fast-dLLM's rule), with a factor the largest n for which
    (n + 1)(1 - confidence of the nth) is below it (Theorem 1 of the Fast-dLLM paper).
    """
    ordered, order = confidences.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(confidences.shape[1], device=confidences.device)
    by_quota = (thresholds.isnan() & factors.isnan())[:, None]
    by_threshold = ordered >= thresholds[:, None]
    # The left side grows with n, so all ranks up to the largest n meet the rule.
    by_factor = (rank + 2) * (1 - ordered) < factors[:, None]
    chosen = (by_quota | by_threshold | by_factor | (rank == 0)) & (rank < quotas[:, None]) & (ordered > -torch.inf)
    return torch.zeros_like(chosen).scatter(1, order, chosen)
