"""Matrix products with weights laid out as the device multiplies them best.

A step of denoising multiplies few rows with all weights of the network. On a CPU, torch's own `linear` then spends more
time on reordering the weights than on multiplying with them. oneDNN's layout, made once, halves the time of a step, its
products of one row do not depend on how many others there are (but where a float32 row is alone), and what follows a
product (an activation, a factor, a summand) is done while its numbers are still in registers.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Weight(Protocol):
    """A matrix `[out, in]`, to be multiplied with rows `[rows, in]`; all results are `[rows, out]`."""

    def product(self, rows: Tensor) -> Tensor: ...

    def silu(self, rows: Tensor) -> Tensor:
        """SiLU of the product."""
        ...

    def times(self, rows: Tensor, factor: Tensor) -> Tensor:
        """The product, element by element times `factor`."""
        ...

    def plus(self, rows: Tensor, summand: Tensor) -> Tensor: ...


class PlainWeight:
    """A weight as it is; can be trained."""

    def __init__(self, *parts: Tensor) -> None:
        self._weight = _joined(parts)

    def product(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self._weight)

    def silu(self, rows: Tensor) -> Tensor:
        return functional.silu(self.product(rows))

    def times(self, rows: Tensor, factor: Tensor) -> Tensor:
        return self.product(rows) * factor

    def plus(self, rows: Tensor, summand: Tensor) -> Tensor:
        return self.product(rows) + summand


class ReorderedWeight:
    """A weight in oneDNN's layout, on a CPU.

    The operators are those that torch.compile emits for a constant weight; torch has no public name for them.
    """

    def __init__(self, *parts: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(_joined(parts))  # noqa: SLF001
        self._linear = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001

    def product(self, rows: Tensor) -> Tensor:
        return self._fused(rows, "none")

    def silu(self, rows: Tensor) -> Tensor:
        return self._fused(rows, "swish")

    def times(self, rows: Tensor, factor: Tensor) -> Tensor:
        return self._fused_with(rows, factor, "mul")

    def plus(self, rows: Tensor, summand: Tensor) -> Tensor:
        return self._fused_with(rows, summand, "add")

    def _fused(self, rows: Tensor, activation: str) -> Tensor:
        result: Tensor = self._linear(rows, self._weight, None, activation, [], "")
        return result

    def _fused_with(self, rows: Tensor, other: Tensor, operation: str) -> Tensor:
        result: Tensor = self._linear.binary(rows, other, self._weight, None, operation)
        return result

    @staticmethod
    def suits(device: torch.device, dtype: torch.dtype) -> bool:
        if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return False
        if dtype is torch.bfloat16:
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
        return dtype is torch.float32


class Projection:
    """Linear maps of the same rows, side by side in one product.

    Until `pack` is called it multiplies with the weights of the modules, which can be trained.
    """

    def __init__(self, *maps: nn.Linear) -> None:
        self._maps = maps
        self._packed: Weight | None = None

    @property
    def weight(self) -> Weight:
        return self._packed or PlainWeight(*(linear.weight for linear in self._maps))

    def pack(self) -> None:
        """Lays the weights out for inference, and takes them from the modules."""
        self._packed = packed(*(linear.weight for linear in self._maps))
        for linear in self._maps:
            linear.register_parameter("weight", None)


def packed(*parts: Tensor) -> Weight:
    """The weights `[out, in]`, one below the other, in the layout that suits their device."""
    suits = ReorderedWeight.suits(parts[0].device, parts[0].dtype)
    return ReorderedWeight(*parts) if suits else PlainWeight(*parts)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the parts one below the other; a copy, except of one alone."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
