"""How fast the machine can be at the arithmetic of a request, and at nothing else.

A matrix rate depends on the shapes: few rows are bound by reading the weights, many by multiplying. So the rate is that
of a whole forward pass's products, one behind the other, with weights of their own for every layer, laid out and fused
as the engine has them. What the engine takes beyond that is its own.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import torch

from benchmarks.operations import Pass, linear_maps, operations
from worker.layers.linear import pack_weight
from worker.models.transformer import TransformerConfig

MIN_REPEATS = 3


def now(device: torch.device) -> float:
    """Return seconds, once the device has done all that it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(work: Callable[[], object], device: torch.device, min_seconds: float = 0.1) -> float:
    """The median over repeats that take `min_seconds` together, after one that warms up."""
    taken: list[float] = []
    while len(taken) <= MIN_REPEATS or sum(taken[1:]) < min_seconds:
        began = now(device)
        work()
        taken.append(now(device) - began)
    return median(taken[1:])


@dataclass(frozen=True, slots=True)
class Limit:
    """What requests cost that are nothing but arithmetic: operations, and seconds at the measured rate."""

    operations: int
    seconds: float


class Arithmetic:
    """The matrix products of forward passes, on the machine that is measured."""

    def __init__(self, config: TransformerConfig, device: torch.device, dtype: torch.dtype) -> None:
        self._config, self._device, self._dtype = config, device, dtype
        self._layers = [
            [(inner, pack_weight(self._random(outer, inner))) for inner, outer in linear_maps(config)]
            for _ in range(config.num_layers)
        ]
        self._to_vocabulary = pack_weight(self._random(config.padded_vocab_size, config.hidden_size))
        self._measured: dict[tuple[Pass, int], float] = {}

    def limit(self, needed: Iterable[Pass], concurrent: int, max_rows: int) -> Limit:
        """Of requests' passes, run with those of so many requests in one as `max_rows` has room for."""
        total, seconds = 0, 0.0
        for one in needed:
            together = max(1, min(concurrent, max_rows // one.rows))
            total += operations(self._config, one)
            seconds += self.seconds(one, together) / together
        return Limit(total, seconds)

    def seconds(self, one: Pass, together: int) -> float:
        """What `together` such passes take in one; between two powers of two of masked positions, in proportion."""
        below = 1 << (one.masked.bit_length() - 1)
        above = min(2 * below, one.rows)
        shortest = self._measure(Pass(one.rows, one.attended, below), together)
        if one.masked == below:
            return shortest
        longest = self._measure(Pass(one.rows, one.attended, above), together)
        return shortest + (longest - shortest) * (one.masked - below) / (above - below)

    def _measure(self, one: Pass, together: int) -> float:
        if (one, together) not in self._measured:
            self._measured[one, together] = self._seconds_of_products(one, together)
        return self._measured[one, together]

    @torch.inference_mode()
    def _seconds_of_products(self, one: Pass, together: int) -> float:
        config, heads = self._config, together * self._config.num_heads
        every, read = together * one.rows, together * one.masked
        rows = {inner: self._random(every, inner) for inner, _ in linear_maps(config)}
        queries = self._random(heads, one.rows, config.head_dim)
        keys = self._random(heads, config.head_dim, one.attended)
        values = self._random(heads, one.attended, config.head_dim)

        def multiply() -> None:
            for number, ((width, to_heads), *others) in enumerate(self._layers, 1):
                to_heads.product(rows[width])
                torch.bmm(torch.bmm(queries, keys), values)
                for inner, weight in others:
                    weight.product(rows[inner][: every if number < config.num_layers else read])
            self._to_vocabulary.product(rows[config.hidden_size][:read])

        return seconds_of(multiply, self._device)

    def _random(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, device=self._device, dtype=self._dtype)
