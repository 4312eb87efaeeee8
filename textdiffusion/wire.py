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

# What a request may ask for at the most, of a router and of a worker.
MAX_TOP_LOGPROBS: Final = 20
MAX_LOGIT_BIASES: Final = 1024
MAX_BIAS: Final = 100.0
