"""The rule: which masked positions a step commits, given how sure the model is of each."""

import torch
from torch import Tensor


def choose_positions(confidences: Tensor, quotas: Tensor, thresholds: Tensor) -> Tensor:
    """Bool `[requests, width]`: what each request commits of its masked positions.

    `confidences` is float `[requests, width]`, -inf where nothing is masked. `quotas` is int64 `[requests]`, the most
    positions that this step may commit. `thresholds` is float `[requests]`: with a number, the most confident position
    is committed and every other at or above it (Fast-dLLM's rule); with NaN, as many as the quota, surest first.
    """
    ordered, order = confidences.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(confidences.shape[1], device=confidences.device)
    sure = (rank == 0) | (ordered >= thresholds[:, None]) | thresholds.isnan()[:, None]
    chosen = sure & (rank < quotas[:, None]) & (ordered > -torch.inf)
    return torch.zeros_like(chosen).scatter(1, order, chosen)
