"""Random numbers that depend on nothing but the request's seed, the position and the step.

A generator with a state would give a request other numbers depending on who shares its batch. These are counter-based:
SplitMix64's finaliser (Steele, Lea, Flood 2014) over a key and a counter, so any entry can be computed alone.
"""

from enum import IntEnum

import torch
from torch import Tensor


class Stream(IntEnum):
    """What a number is for; streams of one seed are independent."""

    TOKEN = 1
    REMASKING = 2


_GOLDEN = 0x9E3779B97F4A7C15


def uniform(stream: Stream, seeds: Tensor, positions: Tensor, steps: Tensor, columns: int) -> Tensor:
    """Float64 `[rows, columns]` above 0 and below 1, of int64 `seeds`, `positions` and `steps`, each `[rows]`."""
    key = _mixed(_mixed(_mixed(seeds + signed(_GOLDEN * stream)) + positions) + steps)
    counter = torch.arange(1, columns + 1, device=seeds.device)
    bits = _shifted(_mixed(key[:, None] + signed(_GOLDEN) * counter), 12)
    return (bits.double() + 0.5) * 2.0**-52


def signed(number: int) -> int:
    """The int64 that has the low 64 bits of `number`; int64 is the widest integer that torch multiplies."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mixed(bits: Tensor) -> Tensor:
    bits = (bits ^ _shifted(bits, 30)) * signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shifted(bits, 27)) * signed(0x94D049BB133111EB)
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """A logical shift to the right; torch's own repeats the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)
