"""Normalisation of rows."""

import torch
from torch import Tensor, nn


class RmsNorm(nn.Module):
    """Root mean square normalisation in float32, scaled in the model's dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, rows: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float32)
        scale = (norm.square() / rows.shape[-1] + self.eps).rsqrt()
        scaled: Tensor = self.weight * (rows * scale).to(rows.dtype)
        return scaled
