"""Rotary position embedding: number `i` of a head and number `i` + half of what is rotated are a pair."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryConfig:
    """How heads are rotated; of each, the first `rotated` numbers.

    `precision` float32 rotates in float32 (LLaDA); with `rounded` angles' cosines and sines are rounded to the model's
    dtype before. `model` does both in the model's dtype, as transformers' models do.
    """

    rotated: int
    theta: float
    precision: Literal["float32", "model"] = "model"
    rounded: bool = True


class Rotation(Protocol):
    """Rotates `[rows, heads, head_dim]`, every layer's by the same angles."""

    def __call__(self, heads: Tensor) -> Tensor: ...


def rotation(positions: Tensor, config: RotaryConfig, dtype: torch.dtype) -> Rotation:
    """Return the rotation of one forward pass over rows at int64 `positions` `[rows]`."""
    exponents = torch.arange(0, config.rotated, 2, device=positions.device).float() / config.rotated
    angles = (positions[:, None].float() * (1.0 / config.theta**exponents))[:, None, :]
    cosines, sines = angles.cos(), angles.sin()
    if config.rounded:
        cosines, sines = cosines.to(dtype), sines.to(dtype)
    if config.precision == "float32":
        return _Float32Rotation(torch.complex(cosines.float(), sines.float()), config.rotated)
    return _ModelRotation(cosines, sines, config.rotated)


class _Float32Rotation:
    def __init__(self, turn: Tensor, rotated: int) -> None:
        self._turn = turn
        self._rotated = rotated

    def __call__(self, heads: Tensor) -> Tensor:
        turning, rest = heads[..., : self._rotated], heads[..., self._rotated :]
        real, imaginary = turning.float().chunk(2, dim=-1)
        turned = torch.complex(real, imaginary) * self._turn
        both = torch.cat((turned.real, turned.imag), dim=-1).to(heads.dtype)
        return torch.cat((both, rest), dim=-1) if rest.shape[-1] else both


class _ModelRotation:
    def __init__(self, cosines: Tensor, sines: Tensor, rotated: int) -> None:
        self._cosines = torch.cat((cosines, cosines), dim=-1)
        self._sines = torch.cat((-sines, sines), dim=-1)
        self._rotated = rotated

    def __call__(self, heads: Tensor) -> Tensor:
        turning, rest = heads[..., : self._rotated], heads[..., self._rotated :]
        swapped = turning.roll(self._rotated // 2, dims=-1)
        turned = turning * self._cosines + swapped * self._sines
        return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned
