"""The oracle of the tests, timed: the algorithm written from its definition, one request, no batch."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from testing import oracle
from worker.sampling_params import SamplingParams


class Baseline:
    """The oracle with a checkpoint's weights."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._model = oracle.Transformer(folder, dtype)

    def tokens_per_second(self, prompt: Sequence[int], options: SamplingParams) -> float:
        began = time.perf_counter()
        oracle.decode(self._model, prompt, options, nudges=())
        return options.gen_length / (time.perf_counter() - began)
