from typing import Any

import numpy as np
import torch

from worker.decoding.sampling_metadata import SamplingMetadata, SamplingTensors
from worker.sampling_params import SamplingParams

CPU = torch.device("cpu")
ENDS = frozenset({7, 3})


def tensors(rows: slice, *options: dict[str, Any], boosts: tuple[tuple[int, int, float], ...] = ()) -> SamplingTensors:
    """The options of three candidates, at positions 0 to 2, of each sequence."""
    params = [SamplingParams(gen_length=3, block_length=3, steps=3, **one) for one in options]
    owners, positions = np.repeat(np.arange(len(params)), 3), np.tile(np.arange(3), len(params))
    metadata = SamplingMetadata.build(params, owners, positions, np.zeros(len(params), dtype=np.int64), boosts)
    return metadata.tensors(rows, CPU)


def test_end_tokens_are_excluded_before_the_fewest_tokens_of_a_sequence() -> None:
    excluded = tensors(slice(0, 6), {"end_token_ids": ENDS}, {"end_token_ids": ENDS, "min_tokens": 2}).excluded
    assert excluded is not None
    assert list(zip(excluded.rows.tolist(), excluded.tokens.tolist(), strict=True)) == [(3, 3), (3, 7), (4, 3), (4, 7)]


def test_without_an_end_token_or_a_position_before_it_nothing_is_excluded() -> None:
    assert tensors(slice(0, 3), {"min_tokens": 2}).excluded is None
    assert tensors(slice(2, 3), {"min_tokens": 2, "end_token_ids": ENDS}).excluded is None


def test_a_boost_is_added_to_the_biases_of_the_chunk_that_it_lies_in() -> None:
    biased, boosts = {"logit_bias": {5: 1.5}}, ((4, 9, 2.0),)
    bias = tensors(slice(3, 6), {}, biased, boosts=boosts).bias
    assert bias is not None
    entries = zip(bias.rows.tolist(), bias.tokens.tolist(), bias.values.tolist(), strict=True)
    assert sorted(entries) == [(0, 5, 1.5), (1, 5, 1.5), (1, 9, 2.0), (2, 5, 1.5)]
    assert tensors(slice(0, 3), {}, biased, boosts=boosts).bias is None
