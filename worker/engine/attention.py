"""Attention of packed rows, each within its own request's slot of the arena."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.batch import Run
from worker.engine.kv_cache import KeysAndValues


class SlotAttention:
    """Writes the keys and values of a batch's rows into their slots, and attends to all that the slots hold.

    See `worker.models.llada.Attend` for the shapes.
    """

    def __init__(self, arena: KeysAndValues, places: Tensor, runs: Sequence[Run]) -> None:
        self._arena = arena
        self._places = places
        self._runs = runs
        self._lengths = [run.end - run.start for run in runs]

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._arena.write(layer, self._places, keys, values)
        by_head = queries.transpose(0, 1)[None]
        held_keys, held_values = self._arena.keys[layer][None], self._arena.values[layer][None]
        attended = []
        for query, run in zip(torch.split(by_head, self._lengths, dim=2), self._runs, strict=True):
            slot = slice(run.first, run.first + run.length)
            own = (query, held_keys[:, :, slot], held_values[:, :, slot])
            attended.append(functional.scaled_dot_product_attention(*own, enable_gqa=True).transpose(1, 2))
        return torch.cat(attended, dim=1)[0]
