from itertools import count

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.operations import Pass, operations, passes, weights_read
from testing.random_model import random_weights
from worker.engine.request import CommittedToken
from worker.models.llada import LladaConfig
from worker.models.transformer import Transformer, TransformerConfig
from worker.sampling_params import CacheMode, SamplingParams

NETWORK = LladaConfig(
    d_model=8,
    n_layers=3,
    n_heads=2,
    n_kv_heads=1,
    mlp_hidden_size=6,
    vocab_size=11,
    embedding_size=12,
    max_sequence_length=64,
)
CONFIG = NETWORK.transformer
PROMPT = 5


def committed(*steps: list[int]) -> list[CommittedToken]:
    """A token at each of these positions, a list a step."""
    return [
        CommittedToken(position=position, id=1, logprob=0.0, step=step)
        for step, positions in enumerate(steps, 1)
        for position in positions
    ]


def options(cache: CacheMode) -> SamplingParams:
    return SamplingParams(gen_length=7, block_length=4, steps=7, kv_cache=cache)


def multiplied(config: TransformerConfig, one: Pass) -> int:
    """Additions and multiplications, row by row and weight by weight."""
    operations = 0
    for layer in range(config.num_layers):
        for row in range(one.rows):
            heads = config.num_heads + 2 * config.num_kv_heads
            operations += 2 * config.hidden_size * heads * config.head_dim
            for _ in range(config.num_heads):
                for _ in range(one.attended):
                    operations += 2 * config.head_dim  # a query with a key
                    operations += 2 * config.head_dim  # a weight with a value
            if layer == config.num_layers - 1 and row >= one.masked:
                continue
            operations += 2 * config.hidden_size * config.hidden_size
            operations += 2 * 2 * config.hidden_size * config.intermediate_size
            operations += 2 * config.intermediate_size * config.hidden_size
    return operations + one.masked * 2 * config.hidden_size * config.padded_vocab_size


def test_a_tiny_pass_costs_what_one_counts_by_hand() -> None:
    config = LladaConfig(
        d_model=4,
        n_layers=2,
        n_heads=2,
        n_kv_heads=1,
        mlp_hidden_size=3,
        vocab_size=7,
        embedding_size=7,
        max_sequence_length=16,
    ).transformer
    to_heads = 2 * 5 * (4 * 8)  # layers, rows, weights
    attention = 2 * 5 * 6 * (4 + 4)  # layers, rows, positions, queries with keys and weights with values
    others = (5 + 2) * (4 * 4 + 4 * 6 + 3 * 4)  # rows of the first layer and of the last, weights
    logits = 2 * (4 * 7)
    assert operations(config, Pass(rows=5, attended=6, masked=2)) == 2 * (to_heads + attention + others + logits)
    assert weights_read(config) == 2 * (4 * 8 + 4 * 4 + 4 * 6 + 3 * 4) + 4 * 7


@pytest.mark.parametrize("one", [Pass(9, 9, 4), Pass(4, 9, 3), Pass(1, 30, 1)])
def test_a_pass_costs_what_a_loop_over_rows_and_weights_counts(one: Pass) -> None:
    assert operations(CONFIG, one) == multiplied(CONFIG, one)


def test_a_pass_costs_what_torch_counts_in_the_network() -> None:
    one = Pass(rows=6, attended=10, masked=4)
    with torch.device("meta"):
        network = Transformer(CONFIG)
    network.load_state_dict(dict(random_weights(NETWORK, torch.float32)), assign=True)

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        del layer, keys, values
        slot = torch.zeros(CONFIG.num_heads, one.attended, CONFIG.head_dim)
        weights = torch.bmm(queries.transpose(0, 1), slot.transpose(1, 2))
        return torch.bmm(weights, slot).transpose(0, 1)

    with FlopCounterMode(display=False) as counter:
        positions = torch.arange(one.rows)
        network.compute_logits(network(positions, positions, attend, positions[: one.masked]))
    assert operations(CONFIG, one) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("cache", "later"),
    [(CacheMode.NONE, (12, 12)), (CacheMode.PREFIX, (7, 3)), (CacheMode.DUAL, (4, 3))],
)
def test_a_block_s_first_pass_is_whole_and_later_ones_are_as_short_as_the_cache_allows(
    cache: CacheMode, later: tuple[int, int]
) -> None:
    trace = committed([1, 2], [0], [3], [4], [6, 5])
    assert list(passes(PROMPT, options(cache), trace)) == [
        Pass(12, 12, 4),
        Pass(later[0], 12, 2),
        Pass(later[0], 12, 1),
        Pass(12, 12, 3),
        Pass(later[1], 12, 2),
    ]


@pytest.mark.parametrize("cache", CacheMode)
def test_one_token_a_pass_costs_what_a_loop_over_the_blocks_counts(cache: CacheMode) -> None:
    """The published schedule: as many passes in a block as it has positions, one mask fewer each time."""
    expected = 0
    for start, end in ((PROMPT, PROMPT + 4), (PROMPT + 4, PROMPT + 7)):
        for step, masked in zip(count(), range(end - start, 0, -1), strict=False):
            rows = 12
            if step and cache is not CacheMode.NONE:
                rows = (12 if cache is CacheMode.PREFIX else end) - start
            expected += multiplied(CONFIG, Pass(rows, 12, masked))
    trace = committed(*([position] for position in range(7)))
    assert sum(operations(CONFIG, one) for one in passes(PROMPT, options(cache), trace)) == expected
