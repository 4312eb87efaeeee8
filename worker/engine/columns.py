"""The options of all requests as arrays, a value for each masked position, on their way to the device."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.decoding.confidence import Remasking
from worker.decoding.knobs import Bias, Knobs
from worker.decoding.randomness import signed
from worker.engine.request import Request

Array = NDArray[Any]


class Columns:
    """What decides about each masked position of `requests`; `owners` says whose it is, by the request's index."""

    def __init__(self, requests: Sequence[Request], owners: Array) -> None:
        options = [request.options for request in requests]
        self._owners = owners
        self._biases = [one.logit_bias for one in options]
        self._floats = np.array([(one.temperature, one.top_p) for one in options], dtype=np.float64)[owners].T
        integers = [(one.top_k, signed(one.seed), one.top_logprobs) for one in options]
        self._integers = np.array(integers, dtype=np.int64)[owners].T
        steps = np.array([request.forward_passes for request in requests])[owners]
        self._moments = np.stack([np.concatenate([request.masked for request in requests]), steps])
        self._remasking = np.array([one.remasking.value for one in options])[owners]

    def knobs(self, start: int, end: int, device: torch.device) -> Knobs:
        """Those of the masked positions `start` to `end`."""
        rows = slice(start, end)
        temperature, top_p = self._floats[:, rows]
        top_k, seeds, alternatives = self._integers[:, rows]
        sampled = np.flatnonzero(temperature)
        filtered = np.flatnonzero(((top_p < 1) | (top_k > 0))[sampled])
        temperatures, nuclei = on_device(device, self._floats[:, rows])
        integers = on_device(device, np.vstack([top_k, seeds, self._moments[:, rows]]))
        remasking = self._remasking[rows]
        return Knobs(
            temperature=temperatures,
            top_p=nuclei,
            top_k=integers[0],
            seeds=integers[1],
            positions=integers[2],
            steps=integers[3],
            sampled=those(device, sampled),
            filtered=those(device, filtered),
            bias=_bias(self._biases, self._owners[rows], device),
            by_margin=those(device, np.flatnonzero(remasking == Remasking.MARGIN.value)),
            by_entropy=those(device, np.flatnonzero(remasking == Remasking.ENTROPY.value)),
            at_random=those(device, np.flatnonzero(remasking == Remasking.RANDOM.value)),
            ranked=those(device, np.flatnonzero(alternatives)),
            alternatives=int(alternatives.max()),
        )


def _bias(biases: Sequence[Mapping[int, float]], owners: Array, device: torch.device) -> Bias | None:
    """The biases of all rows, one entry behind the other."""
    entries = list(_entries(biases, owners))
    if not entries:
        return None
    rows, tokens, values = (np.concatenate(column) for column in zip(*entries, strict=True))
    return Bias(
        biased=on_device(device, np.unique(rows)),
        rows=on_device(device, rows),
        tokens=on_device(device, tokens),
        values=on_device(device, values),
    )


def _entries(biases: Sequence[Mapping[int, float]], owners: Array) -> Iterator[tuple[Array, Array, Array]]:
    for owner in np.unique(owners):
        if bias := biases[owner]:
            rows = np.flatnonzero(owners == owner)
            tokens = np.fromiter(bias.keys(), dtype=np.int64)
            values = np.fromiter(bias.values(), dtype=np.float32)
            yield np.repeat(rows, len(bias)), np.tile(tokens, len(rows)), np.tile(values, len(rows))


def on_device(device: torch.device, array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def those(device: torch.device, rows: Array) -> Tensor | None:
    """The numbers `rows` on the device; None if there are none."""
    return on_device(device, rows) if len(rows) else None
