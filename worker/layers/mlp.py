"""Gated MLPs: one that all rows go through, or many of which each row goes through a few."""

import torch
from torch import Tensor, nn

from worker.layers.linear import Layers


class GatedMlp(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, hidden: int, intermediate: int, layers: Layers) -> None:
        super().__init__()
        self.gate = layers.column(hidden, intermediate)
        self.up = layers.column(hidden, intermediate)
        self.down = layers.row(intermediate, hidden)

    def forward(self, rows: Tensor) -> Tensor:
        return self.down.weight.product(self._expand(rows))

    def plus(self, rows: Tensor, summand: Tensor) -> Tensor:
        """Return the result for `rows`, and `summand` added to it; all are `[rows, hidden]`."""
        return self.down.weight.plus(self._expand(rows), summand)

    def _expand(self, rows: Tensor) -> Tensor:
        return self.up.weight.times(rows, self.gate.weight.silu(rows))


class Experts(nn.Module):
    """Gated MLPs of which each row goes through a few; which, and how much each counts, a router has said.

    A checkpoint stores each expert by itself: `experts.0.gate.weights.0`, and so on.
    """

    def __init__(self, count: int, hidden: int, intermediate: int, layers: Layers) -> None:
        super().__init__()
        self.experts = nn.ModuleList(GatedMlp(hidden, intermediate, layers) for _ in range(count))

    def forward(self, rows: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum `[rows, hidden]` of what the `chosen` experts make of each row.

        `chosen` is int64, `weights` as the rows are, both `[rows, experts of a row]`. Rows of one expert go through it
        together; what a row gets does not depend on the others.
        """
        count, few = chosen.shape
        order = chosen.flatten().argsort(stable=True)
        sizes = chosen.flatten().bincount(minlength=len(self.experts)).tolist()
        groups = torch.split(rows[order // few], sizes)
        made = torch.cat([expert(group) for expert, group in zip(self.experts, groups, strict=True) if len(group)])
        in_turn = torch.empty_like(made)
        in_turn[order] = made
        return (in_turn.view(count, few, -1) * weights[..., None]).sum(1)
