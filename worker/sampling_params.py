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
    SEQUENTIAL = "sequential"  # from left to right


class CanvasMode(Enum):
    """How a canvas comes to its length."""

    FIXED = "fixed"  # all masks from the start
    GROW = "grow"  # a block of masks behind the other, until an end token


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
    steps_per_block: int | None = None
    canvas: CanvasMode = CanvasMode.FIXED
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    cfg_scale: float = 0.0
    remasking: Remasking = Remasking.LOW_CONFIDENCE
    kv_cache: CacheMode = CacheMode.NONE
    threshold: float | None = None
    factor: float | None = None
    max_parallel_tokens: int | None = None
    min_parallel_tokens: int = 1
    min_tokens: int = 0
    end_of_thinking_boost: float = 0.0
    end_of_thinking_power: float = 2.0
    end_of_thinking_ids: tuple[int, ...] = ()
    thinking_budget: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int = 0
    end_token_ids: frozenset[int] = frozenset()
