"""Sampled tokens come as often as the softmax says: chi-square tests, with seeds that are always the same."""

import math
import queue
from typing import Any

import pytest
import torch
from torch import Tensor

from testing.folders import GOLDEN
from testing.oracle import Transformer
from tests.unit.worker.playing import MASK, started
from worker.decoding.predict import predict
from worker.decoding.sampling_metadata import SamplingTensors
from worker.engine.request import Update
from worker.models.spec import LoadedModel
from worker.sampling_params import SamplingParams

# A test with a right sampler fails with this probability when its seeds are changed.
IMPROBABLE = 1e-3
FEWEST_EXPECTED = 5
DRAWS = 40_000
LIKELIEST = 11
LOGITS = (torch.randn(60, generator=torch.Generator().manual_seed(5)) * 2).index_fill(0, torch.tensor(LIKELIEST), 9.0)
PROMPT = [77, 202, 24, 37, 274, 48]

FILTERS = [
    {"temperature": 1.0},
    {"temperature": 0.4},
    {"temperature": 3.0},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.0, "top_p": 0.8},
    {"temperature": 2.0, "top_k": 12, "top_p": 0.7},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 2.0, "min_p": 0.05, "top_k": 12, "top_p": 0.8},
]


def in_words(filters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in filters.items())


def probabilities(
    logits: Tensor, mask: int, temperature: float, *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> list[float]:
    """The softmax at a temperature, without the mask token and without what the filters cut off."""
    scaled = (logits.double() / temperature).tolist()
    likeliest = sorted((token for token in range(len(scaled)) if token != mask), key=lambda token: -scaled[token])
    kept = [token for token in likeliest if scaled[token] >= scaled[likeliest[0]] + math.log(min_p or 1e-300)]
    kept = kept[: top_k or None]
    weights = torch.tensor([scaled[token] for token in kept]).double().softmax(0).tolist()
    mass, found = 0.0, [0.0] * len(scaled)
    for token, weight in zip(kept, weights, strict=True):
        found[token] = weight if mass < top_p else 0.0
        mass += found[token]
    return [weight / mass for weight in found]


def improbability(drawn: Tensor, expected: Tensor) -> float:
    """P-value of the draws, by Pearson's chi-square; what is too rare to be counted alone is counted together."""
    counts = drawn.bincount(minlength=len(expected)).double()
    assert not counts[expected == 0].any(), "drawn, though impossible"
    wanted = expected * len(drawn)
    rare = wanted < FEWEST_EXPECTED
    pooled_counts, pooled = torch.cat([counts[~rare], counts[rare].sum()[None]]), wanted[~rare]
    pooled = torch.cat([pooled, wanted[rare].sum()[None]])
    if pooled[-1] < FEWEST_EXPECTED:
        pooled_counts, pooled = pooled_counts[:-1], pooled[:-1]
    statistic = ((pooled_counts - pooled).square() / pooled).sum()
    return float(torch.special.gammaincc(torch.tensor((len(pooled) - 1) / 2).double(), statistic / 2))


def draw(filters: dict[str, Any], **keys: Tensor) -> Tensor:
    """One sample of `LOGITS` for each of the keys."""
    zeros = torch.zeros(DRAWS, dtype=torch.int64)
    knobs = SamplingTensors(
        temperature=torch.full((DRAWS,), filters["temperature"]).double(),
        top_p=torch.full((DRAWS,), filters.get("top_p", 1.0)).double(),
        min_p=torch.full((DRAWS,), filters.get("min_p", 0.0)).double(),
        top_k=torch.full((DRAWS,), filters.get("top_k", 0)),
        seeds=keys.get("seeds", zeros),
        positions=keys.get("positions", zeros),
        steps=keys.get("steps", zeros),
        sampled_rows=torch.arange(DRAWS),
        filtered_rows=torch.arange(DRAWS) if len(filters) > 1 else None,
    )
    return predict(LOGITS.repeat(DRAWS, 1), LIKELIEST, knobs).tokens


@pytest.mark.parametrize("varied", ["seeds", "positions", "steps"])
@pytest.mark.parametrize("filters", FILTERS, ids=in_words)
def test_tokens_follow_the_softmax_over_seeds_positions_and_steps(filters: dict[str, Any], varied: str) -> None:
    expected = torch.tensor(probabilities(LOGITS, LIKELIEST, **filters)).double()
    assert improbability(draw(filters, **{varied: torch.arange(DRAWS)}), expected) > IMPROBABLE


@pytest.mark.parametrize("key", ["seeds", "positions", "steps"])
def test_what_one_key_gives_says_nothing_about_the_next(key: str) -> None:
    filters = {"temperature": 1.0, "top_k": 5}
    expected = torch.tensor(probabilities(LOGITS, LIKELIEST, **filters)).double()
    drawn = draw(filters, **{key: torch.arange(DRAWS)})
    pairs = drawn[::2] * len(LOGITS) + drawn[1::2]
    assert improbability(pairs, torch.outer(expected, expected).flatten()) > IMPROBABLE


@pytest.mark.parametrize(
    "filters", [{"temperature": 1.0}, {"temperature": 1.5, "top_k": 30, "top_p": 0.9}], ids=in_words
)
def test_the_engine_samples_from_the_softmax_of_the_model(golden_model: LoadedModel, filters: dict[str, Any]) -> None:
    draws = 4000
    updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
    with started(golden_model, max_running=200) as engine:
        for seed in range(draws):
            options = SamplingParams(gen_length=1, block_length=1, steps=1, seed=seed, **filters)
            engine.submit(str(seed), PROMPT, options, updates.put)
        committed = [update.committed for update in (updates.get(timeout=60) for _ in range(2 * draws))]
    drawn = torch.tensor([token.id for tokens in committed for token in tokens])
    assert len(drawn) == draws
    logits, _ = Transformer(GOLDEN, torch.float64)([*PROMPT, MASK], 0, len(PROMPT) + 1, ())
    expected = torch.tensor(probabilities(logits[-1], MASK, **filters)).double()
    assert improbability(drawn, expected) > IMPROBABLE


def test_a_sampler_that_is_a_little_wrong_is_found_out() -> None:
    drawn = draw({"temperature": 1.0}, seeds=torch.arange(DRAWS))
    almost = torch.tensor(probabilities(LOGITS, LIKELIEST, temperature=1.05)).double()
    assert improbability(drawn, almost) < IMPROBABLE
