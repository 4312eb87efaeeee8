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
    """A matrix `[out, in]` and perhaps a bias, for rows `[rows, in]`; all results are `[rows, out]`."""

    def product(self, rows: Tensor) -> Tensor: ...

    def silu(self, rows: Tensor) -> Tensor:
        """Return SiLU of the product."""
        ...

    def times(self, rows: Tensor, factor: Tensor) -> Tensor:
        """Return the product, element by element times `factor`."""
        ...

    def plus(self, rows: Tensor, summand: Tensor) -> Tensor: ...


class PlainWeight:
    """A weight as it is; can be trained."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight = weight
        self._bias = bias

    def product(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self._weight, self._bias)

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

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001
        self._bias = bias
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
        result: Tensor = self._linear(rows, self._weight, self._bias, activation, [], "")
        return result

    def _fused_with(self, rows: Tensor, other: Tensor, operation: str) -> Tensor:
        result: Tensor = self._linear.binary(rows, other, self._weight, self._bias, operation)
        return result

    @staticmethod
    def suits(device: torch.device, dtype: torch.dtype) -> bool:
        if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return False
        if dtype is torch.bfloat16:
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
        return dtype is torch.float32


class Linear(nn.Module):
    """Linear maps of the same rows, merged into one product.

    A checkpoint stores each of them by itself, so each is a parameter of its own, `weights.0` `[out, in]` and perhaps
    `biases.0` `[out]`, and so on, until `pack` merges them. Until then they can be trained.
    """

    def __init__(self, in_features: int, *out_features: int, bias: bool = False) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.empty(size, in_features) for size in out_features)
        self.biases = nn.ParameterList(torch.zeros(size) for size in out_features) if bias else None
        for weight in self.weights:
            if not weight.is_meta:
                nn.init.normal_(weight, std=in_features**-0.5)
        self._packed: Weight | None = None

    @property
    def weight(self) -> Weight:
        return self._packed or PlainWeight(*self._merged())

    @property
    def is_loaded(self) -> bool:
        """True once no parameter is left without its numbers."""
        return not any(parameter.is_meta for parameter in self.parameters())

    def pack(self) -> None:
        """Lay the weights out for inference; there is no way back to training."""
        if self._packed is None:
            self._packed = pack_weight(*self._merged())
            self.weights = nn.ParameterList()
            self.biases = None

    def _merged(self) -> tuple[Tensor, Tensor | None]:
        return _merge(list(self.weights)), _merge(list(self.biases)) if self.biases else None


class Layers:
    """Makes the layers of a network, which never sees how a weight is stored or on how many devices it lies."""

    def column(self, in_features: int, *out_features: int, bias: bool = False) -> Linear:
        """Return a layer whose outputs may be shared out among devices; several outputs are merged."""
        return Linear(in_features, *out_features, bias=bias)

    def row(self, in_features: int, out_features: int, *, bias: bool = False) -> Linear:
        """Return a layer whose inputs may be shared out among devices, and whose outputs are summed up."""
        return Linear(in_features, out_features, bias=bias)

    def embedding(self, vocab_size: int, hidden_size: int) -> nn.Embedding:
        """Make what `nn.Embedding` is, but draw nothing on the meta device: that would import torch's compiler."""
        weight = torch.empty(vocab_size, hidden_size)
        if not weight.is_meta:
            nn.init.normal_(weight)
        return nn.Embedding(vocab_size, hidden_size, _weight=weight)


def pack_weight(weight: Tensor, bias: Tensor | None = None) -> Weight:
    """Return a weight `[out, in]` in the layout that suits its device."""
    suits = ReorderedWeight.suits(weight.device, weight.dtype)
    return ReorderedWeight(weight, bias) if suits else PlainWeight(weight, bias)


def _merge(parts: Sequence[Tensor]) -> Tensor:
    """Return the parts one below the other; a copy, except of one alone."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
