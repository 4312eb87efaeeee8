"""Every option of every sequence, as columns: one value for each candidate, a position that a step may commit.

`SamplingMetadata` has them as numpy arrays, as they travel with a step's plan; `SamplingTensors` are those of some
candidates on the device.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.decoding.randomness import signed
from worker.sampling_params import Remasking, SamplingParams

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """What to add to which logits: float32 `values` at int64 `rows` and `tokens`, each `[entries]`.

    `biased_rows` are the numbers of the rows that have an entry.
    """

    biased_rows: Tensor
    rows: Tensor
    tokens: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Excluded:
    """Which tokens are never chosen in which rows: int64 `rows` and `tokens`, each `[entries]`."""

    rows: Tensor
    tokens: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTensors:
    """Float64 `temperature`, `top_p` and `min_p`, int64 `top_k`, `seeds`, `positions` and `steps`, each `[rows]`.

    What few rows ask for comes as the int64 numbers of those rows, so that the others need not pay for it:
    `sampled_rows` (temperature above 0), `filtered_rows` (of the sampled ones, counted among them: those with a top_k,
    top_p or min_p), `margin_rows`, `entropy_rows`, `random_rows`, and `logprob_rows`, the rows to report the
    `num_logprobs` likeliest tokens of. None where there are none.
    """

    temperature: Tensor
    top_p: Tensor
    min_p: Tensor
    top_k: Tensor
    seeds: Tensor
    positions: Tensor
    steps: Tensor
    sampled_rows: Tensor | None = None
    filtered_rows: Tensor | None = None
    bias: Bias | None = None
    excluded: Excluded | None = None
    margin_rows: Tensor | None = None
    entropy_rows: Tensor | None = None
    random_rows: Tensor | None = None
    logprob_rows: Tensor | None = None
    num_logprobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingMetadata:
    """The options of all candidates of a step.

    `floats` are temperature, top_p and min_p, float64 `[3, candidates]`; `integers` are top_k, seed, position in the
    generated span and forward pass, int64 `[4, candidates]`; `remasking` `[candidates]` is by name; `num_logprobs` and
    the guidance `scales` are int64 and float32 `[candidates]`. `request_indices` `[candidates]` lead to `biases` and to
    `early_ends`, the end tokens that must not stand before a position, one a sequence. `boosts` are a candidate's
    number, a token and what is added to its logit.
    """

    floats: Array
    integers: Array
    remasking: Array
    num_logprobs: Array
    scales: Array
    request_indices: Array
    biases: Sequence[Mapping[int, float]]
    early_ends: Sequence[tuple[int, frozenset[int]]]
    boosts: Sequence[tuple[int, int, float]]

    @classmethod
    def build(
        cls,
        params: Sequence[SamplingParams],
        request_indices: Array,
        positions: Array,
        steps: Array,
        boosts: Sequence[tuple[int, int, float]] = (),
    ) -> "SamplingMetadata":
        """Spread the options of sequences over their candidates; `steps` `[sequences]` are their forward passes."""
        floats = np.array([(one.temperature, one.top_p, one.min_p) for one in params], dtype=np.float64)
        integers = np.array([(one.top_k, signed(one.seed), one.top_logprobs) for one in params], dtype=np.int64)
        top_k, seeds, num_logprobs = integers[request_indices].T
        return cls(
            floats=floats[request_indices].T,
            integers=np.stack([top_k, seeds, positions, steps[request_indices]]),
            remasking=np.array([one.remasking.value for one in params])[request_indices],
            num_logprobs=num_logprobs,
            scales=np.array([one.cfg_scale for one in params], dtype=np.float32)[request_indices],
            request_indices=request_indices,
            biases=[one.logit_bias for one in params],
            early_ends=[(one.min_tokens, one.end_token_ids) for one in params],
            boosts=boosts,
        )

    def tensors(self, rows: slice, device: torch.device) -> SamplingTensors:
        """Return the options of some candidates, on the device."""
        temperature, top_p, min_p = self.floats[:, rows]
        top_k = self.integers[0, rows]
        sampled = np.flatnonzero(temperature)
        filtered = np.flatnonzero(((top_p < 1) | (min_p > 0) | (top_k > 0))[sampled])
        floats = to_device(device, self.floats[:, rows])
        integers = to_device(device, self.integers[:, rows])
        remasking, num_logprobs = self.remasking[rows], self.num_logprobs[rows]
        return SamplingTensors(
            temperature=floats[0],
            top_p=floats[1],
            min_p=floats[2],
            top_k=integers[0],
            seeds=integers[1],
            positions=integers[2],
            steps=integers[3],
            sampled_rows=to_device_or_none(device, sampled),
            filtered_rows=to_device_or_none(device, filtered),
            bias=self._bias(rows, device),
            excluded=self._excluded(rows, device),
            margin_rows=to_device_or_none(device, np.flatnonzero(remasking == Remasking.MARGIN.value)),
            entropy_rows=to_device_or_none(device, np.flatnonzero(remasking == Remasking.ENTROPY.value)),
            random_rows=to_device_or_none(device, np.flatnonzero(remasking == Remasking.RANDOM.value)),
            logprob_rows=to_device_or_none(device, np.flatnonzero(num_logprobs)),
            num_logprobs=int(num_logprobs.max(initial=0)),
        )

    def _bias(self, rows: slice, device: torch.device) -> Bias | None:
        """Return the biases and boosts of all rows, one entry behind the other."""
        entries = list(_entries(self.biases, self.request_indices[rows])) if any(self.biases) else []
        entries += [
            (np.array([row - rows.start]), np.array([token]), np.array([amount], dtype=np.float32))
            for row, token, amount in self.boosts
            if rows.start <= row < rows.stop
        ]
        if not entries:
            return None
        numbers, tokens, values = (np.concatenate(column) for column in zip(*entries, strict=True))
        return Bias(
            biased_rows=to_device(device, np.unique(numbers)),
            rows=to_device(device, numbers),
            tokens=to_device(device, tokens),
            values=to_device(device, values),
        )

    def _excluded(self, rows: slice, device: torch.device) -> Excluded | None:
        """Return the end tokens that would stand too early."""
        if not any(before for before, _ in self.early_ends):
            return None
        entries = []
        positions, request_indices = self.integers[2, rows], self.request_indices[rows]
        for index in np.unique(request_indices):
            before, ends = self.early_ends[index]
            if before and ends:
                early = np.flatnonzero((request_indices == index) & (positions < before))
                entries.append(np.stack([np.repeat(early, len(ends)), np.tile(sorted(ends), len(early))]))
        if not entries or not (found := np.concatenate(entries, axis=1)).size:
            return None
        return Excluded(*to_device(device, found))


def to_device(device: torch.device, array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def to_device_or_none(device: torch.device, rows: Array) -> Tensor | None:
    """Return the numbers `rows` on the device, or None if there are none."""
    return to_device(device, rows) if len(rows) else None


def _entries(biases: Sequence[Mapping[int, float]], request_indices: Array) -> Iterator[tuple[Array, Array, Array]]:
    for index in np.unique(request_indices):
        if bias := biases[index]:
            rows = np.flatnonzero(request_indices == index)
            tokens = np.fromiter(bias.keys(), dtype=np.int64)
            values = np.fromiter(bias.values(), dtype=np.float32)
            yield np.repeat(rows, len(bias)), np.tile(tokens, len(rows)), np.tile(values, len(rows))
