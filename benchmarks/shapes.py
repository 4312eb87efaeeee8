"""What is measured: shapes of networks, shapes of requests, and the rules by which requests are denoised."""

from dataclasses import dataclass
from typing import Literal

from worker.models.llada import LladaConfig
from worker.sampling_params import CacheMode, SamplingParams


@dataclass(frozen=True, slots=True)
class Rule:
    """How many positions a step commits; `kind` is also the name of the request's field."""

    kind: Literal["steps", "threshold", "factor"]
    value: float

    def __str__(self) -> str:
        return f"{self.kind} {self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A network, the bundled model if no config says otherwise, and the lengths of the requests to it."""

    name: str
    network: LladaConfig | None = None
    prompt: int = 128
    gen_length: int = 128
    block_length: int = 32

    @property
    def canvas(self) -> int:
        return self.prompt + self.gen_length

    @property
    def fixed_schedule(self) -> Rule:
        """One token a step."""
        return Rule("steps", self.gen_length)

    def options(self, cache: CacheMode, rule: Rule) -> SamplingParams:
        """Those of a request that fills its canvas to the end, as no token ends it."""
        return SamplingParams(
            gen_length=self.gen_length,
            block_length=self.block_length,
            steps=int(rule.value) if rule.kind == "steps" else self.gen_length,
            kv_cache=cache,
            threshold=rule.value if rule.kind == "threshold" else None,
            factor=rule.value if rule.kind == "factor" else None,
        )


_LLADA_60M = LladaConfig(
    d_model=512,
    n_layers=8,
    n_heads=8,
    n_kv_heads=8,
    mlp_hidden_size=1536,
    vocab_size=32_000,
    embedding_size=32_000,
    max_sequence_length=1024,
)
_LLADA_8B = LladaConfig(
    d_model=4096,
    n_layers=32,
    n_heads=32,
    n_kv_heads=32,
    mlp_hidden_size=12_288,
    vocab_size=126_464,
    embedding_size=126_464,
    max_sequence_length=4096,
    rope_theta=500_000.0,
)
_ALL = (Shape(name="demo"), Shape(name="llada-60m", network=_LLADA_60M), Shape(name="llada-8b", network=_LLADA_8B))
SHAPES = {shape.name: shape for shape in _ALL}
