"""What router and worker have to agree on: how the choices of a request are called and numbered, and its bounds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from textdiffusion.v1 import textdiffusion_pb2 as pb

REMASKING: Final[Mapping[str, "pb.Remasking.ValueType"]] = MappingProxyType(
    {
        "low_confidence": pb.REMASKING_LOW_CONFIDENCE,
        "random": pb.REMASKING_RANDOM,
        "margin": pb.REMASKING_MARGIN,
        "entropy": pb.REMASKING_ENTROPY,
    }
)
KV_CACHE: Final[Mapping[str, "pb.KvCache.ValueType"]] = MappingProxyType(
    {"none": pb.KV_CACHE_NONE, "prefix": pb.KV_CACHE_PREFIX, "dual": pb.KV_CACHE_DUAL}
)

# Clients look for these words of OpenAI's, to shorten the conversation or to turn to a model that holds more.
CONTEXT_LENGTH: Final = "This model's maximum context length is"

# What a request may ask for at the most, of a router and of a worker.
MAX_TOP_LOGPROBS: Final = 20
MAX_LOGIT_BIASES: Final = 1024
MAX_BIAS: Final = 100.0


def context_length_exceeded(tokens: int, however: str) -> str:
    """Return the sentences by which a request that is too long is refused, OpenAI's first."""
    return f"{CONTEXT_LENGTH} {tokens} tokens. However, {however}"
