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

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._arena.write(layer, self._places, keys, values)
        attended = torch.empty_like(queries)
        for run in self._runs:
            slot = slice(run.first, run.first + run.length)
            own = (queries[run.start : run.end], self._arena.keys[layer, slot], self._arena.values[layer, slot])
            query, key, value = (rows.transpose(0, 1)[None] for rows in own)
            heads = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
            attended[run.start : run.end] = heads[0].transpose(0, 1)
        return attended
