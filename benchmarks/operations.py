"""What the algorithm has to compute for a request, whoever computes it.

Counted are the products with the network's weights and those of attention, a multiplication and an addition each; the
rest is small beside them. Where the published code computes what nobody reads, it does not count: logits are needed for
the masked positions of the active block only, and so is what the last layer does after attention. That makes the limit
that is derived from this count a strict one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from worker.engine.request import CommittedToken
from worker.models.transformer import TransformerConfig
from worker.sampling_params import CacheMode, SamplingParams


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass of one request: its `rows` see `attended` positions; the logits of `masked` rows are needed."""

    rows: int
    attended: int
    masked: int


def linear_maps(config: TransformerConfig) -> tuple[tuple[int, int], ...]:
    """Inputs and outputs of a layer's products: to queries, keys and values, from the heads, gate, up, down."""
    heads = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    return (
        (config.hidden_size, heads),
        (config.num_heads * config.head_dim, config.hidden_size),
        (config.hidden_size, config.intermediate_size),
        (config.hidden_size, config.intermediate_size),
        (config.intermediate_size, config.hidden_size),
    )


def weights_read(config: TransformerConfig) -> int:
    """Count the weights that a forward pass multiplies with."""
    of_layer = sum(inner * outer for inner, outer in linear_maps(config))
    return config.num_layers * of_layer + config.hidden_size * config.padded_vocab_size


def operations(config: TransformerConfig, one: Pass) -> int:
    """Multiplications and additions of one pass."""
    to_heads, *others = (inner * outer for inner, outer in linear_maps(config))
    rows_of_others = (config.num_layers - 1) * one.rows + one.masked
    attention = 2 * one.attended * config.num_heads * config.head_dim
    multiplications = (
        config.num_layers * one.rows * (to_heads + attention)
        + rows_of_others * sum(others)
        + one.masked * config.hidden_size * config.padded_vocab_size
    )
    return 2 * multiplications


def passes(prompt: int, options: SamplingParams, committed: Iterable[CommittedToken]) -> Iterator[Pass]:
    """The forward passes of a request without guidance that committed these tokens in these steps.

    A block's first pass runs over the whole canvas. Without a cache all do; with `prefix` the later ones run over the
    block and all behind it, with `dual` over the block alone.
    """
    canvas = prompt + options.gen_length
    in_order = sorted(committed, key=lambda token: token.step)
    for block, tokens in groupby(in_order, key=lambda token: token.position // options.block_length):
        start = prompt + block * options.block_length
        end = min(start + options.block_length, canvas)
        later = {CacheMode.NONE: canvas, CacheMode.PREFIX: canvas - start, CacheMode.DUAL: end - start}[
            options.kv_cache
        ]
        rows, masked = canvas, end - start
        for _, step in groupby(tokens, key=lambda token: token.step):
            yield Pass(rows, canvas, masked)
            rows, masked = later, masked - len(list(step))
