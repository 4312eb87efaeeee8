"""Matrix products with weights laid out as the device multiplies them best.

A step of denoising multiplies few rows with all weights of the network. On a CPU, torch's own `linear` then spends more
time on reordering the weights than on multiplying with them; oneDNN's layout, made once, halves the time of a step, and
its products of one row do not depend on how many others there are.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Product = Callable[[Tensor], Tensor]


class Projection:
    """Linear maps of the same rows, side by side in one product.

    Until `pack` is called it multiplies with the weights of the modules, which can be trained.
    """

    def __init__(self, *maps: nn.Linear) -> None:
        self._maps = maps
        self._product: Product | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        """`[rows, out]` of `[rows, in]`: what the maps give, one behind the other."""
        if self._product:
            return self._product(rows)
        return torch.cat([linear(rows) for linear in self._maps], dim=-1)

    def pack(self) -> None:
        """Lays the weights out for inference, and takes them from the modules."""
        self._product = packed(torch.cat([linear.weight for linear in self._maps]))
        for linear in self._maps:
            linear.register_parameter("weight", None)


def packed(weight: Tensor) -> Product:
    """The product with `weight` `[out, in]`, in the layout that suits its device."""
    if not _reorderable(weight):
        return lambda rows: functional.linear(rows, weight)
    # What torch.compile emits for a constant weight; torch has no public name for it.
    reordered = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001
    multiply = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
    return lambda rows: multiply(rows, reordered, None, "none", [], "")


def _reorderable(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return weight.dtype is torch.float32
