"""How one request is denoised: every option, settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Remasking(Enum):
    """What a step calls sure, and so commits first."""

    LOW_CONFIDENCE = "low_confidence"  # the probability of the chosen token
    RANDOM = "random"  # a uniform number
    MARGIN = "margin"  # the gap between the probabilities of the two likeliest tokens
    ENTROPY = "entropy"  # exp(-entropy): 1 where all probability is on one token


class CacheMode(Enum):
    """What is kept of a block's first forward pass, which runs over the whole canvas, for its later ones."""

    NONE = "none"
    PREFIX = "prefix"  # keys and values before the block; later passes run block and all behind it
    DUAL = "dual"  # those behind the block too; later passes run the block alone


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """The options of one request; none is left open, and all are within their ranges."""

    gen_length: int
    block_length: int
    steps: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    cfg_scale: float = 0.0
    remasking: Remasking = Remasking.LOW_CONFIDENCE
    kv_cache: CacheMode = CacheMode.NONE
    threshold: float | None = None
    factor: float | None = None
    max_parallel_tokens: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int = 0
    end_token_ids: frozenset[int] = frozenset()
