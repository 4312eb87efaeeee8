"""LLaDA: a bidirectional transformer over packed rows.

A row is one position of one request's canvas. Rows of many requests lie one behind the other without padding; only
attention knows where a request begins and ends, and it is handed in.

Layout, names and rounding follow the published modeling code (GSAI-ML/LLaDA-8B, `block_type: llama`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor, nn

from worker.attention.base import AttentionBackend
from worker.kvcache.arena import KVCacheSpec
from worker.models.projection import PlainWeight, Projection, Weight, packed

WEIGHT_PREFIX = "model.transformer."

# The only supported values; a key that is absent or null means the same.
_ONLY: Mapping[str, str | bool] = {
    "block_type": "llama",
    "layer_norm_type": "rms",
    "activation_type": "silu",
    "rope": True,
    "alibi": False,
    "include_bias": False,
    "include_qkv_bias": False,
    "attention_layer_norm": False,
    "input_emb_norm": False,
    "scale_logits": False,
    "multi_query_attention": False,
    "clip_qkv": False,
}


class UnsupportedModelError(Exception):
    """A config.json that asks for what this architecture does not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LladaConfig:
    """The part of config.json that decides what is computed."""

    d_model: PositiveInt
    n_layers: PositiveInt
    n_heads: PositiveInt
    n_kv_heads: PositiveInt
    mlp_hidden_size: PositiveInt
    vocab_size: PositiveInt
    embedding_size: PositiveInt
    max_sequence_length: PositiveInt
    rope_theta: PositiveFloat = 10_000.0
    rope_full_precision: bool = True
    rms_norm_eps: PositiveFloat = 1e-5
    weight_tying: bool = False

    @property
    def head_dim(self) -> int:
        return self.d_model // self.n_heads

    @property
    def kv(self) -> KVCacheSpec:
        return KVCacheSpec(layers=self.n_layers, kv_heads=self.n_kv_heads, head_dim=self.head_dim)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> "LladaConfig":
        """Reads config.json. Raises `UnsupportedModelError` naming the key that is missing, wrong or not supported."""
        for key, value in _ONLY.items():
            if config.get(key) not in (None, value):
                raise UnsupportedModelError(f"config.json: {key} is {config[key]!r}; only {value!r} is supported")
        known = {key: value for key, value in config.items() if key in cls.__slots__ and value is not None}
        known.setdefault("n_kv_heads", config.get("n_heads"))
        known.setdefault("embedding_size", config.get("vocab_size"))
        if isinstance(config.get("mlp_ratio"), int) and isinstance(config.get("d_model"), int):
            known.setdefault("mlp_hidden_size", config["mlp_ratio"] * config["d_model"])
        try:
            parsed = TypeAdapter(cls).validate_python(known)
        except ValidationError as error:
            first = error.errors()[0]
            raise UnsupportedModelError(f"config.json: {first['loc'][0]}: {first['msg']}") from error
        if parsed.d_model % parsed.n_heads or parsed.n_heads % parsed.n_kv_heads:
            raise UnsupportedModelError("config.json: d_model must divide by n_heads, and n_heads by n_kv_heads")
        if parsed.vocab_size > parsed.embedding_size:
            raise UnsupportedModelError("config.json: vocab_size must not be more than embedding_size")
        return parsed


class RmsNorm(nn.Module):
    """Root mean square normalisation in float32, scaled in the model's dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, rows: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float32)
        scale = (norm.square() / rows.shape[-1] + self.eps).rsqrt()
        scaled: Tensor = self.weight * (rows * scale).to(rows.dtype)
        return scaled


class Rotary:
    """Rotary position embedding of one forward pass: the same angles for every layer."""

    def __init__(self, positions: Tensor, config: LladaConfig, dtype: torch.dtype) -> None:
        exponents = torch.arange(0, config.head_dim, 2, device=positions.device).float() / config.head_dim
        angles = (positions[:, None].float() * (1.0 / config.rope_theta**exponents))[:, None, :]
        rounding = torch.float32 if config.rope_full_precision else dtype
        self._turn = torch.complex(angles.cos().to(rounding).float(), angles.sin().to(rounding).float())

    def __call__(self, heads: Tensor) -> Tensor:
        """Rotates `[rows, heads, head_dim]`: the number `i` of a head and that of its other half are a pair."""
        real, imaginary = heads.float().chunk(2, dim=-1)
        turned = torch.complex(real, imaginary) * self._turn
        return torch.cat((turned.real, turned.imag), dim=-1).to(heads.dtype)


class LladaBlock(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: LladaConfig, layer: int) -> None:
        super().__init__()
        width, kv_width = config.d_model, config.n_kv_heads * config.head_dim
        self.layer, self.head_dim = layer, config.head_dim
        self.heads, self.kv_heads = config.n_heads, config.n_kv_heads
        self.attn_norm = RmsNorm(width, config.rms_norm_eps)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.ff_norm = RmsNorm(width, config.rms_norm_eps)
        self.ff_proj = nn.Linear(width, config.mlp_hidden_size, bias=False)
        self.up_proj = nn.Linear(width, config.mlp_hidden_size, bias=False)
        self.ff_out = nn.Linear(config.mlp_hidden_size, width, bias=False)
        self._to_heads = Projection(self.q_proj, self.k_proj, self.v_proj)
        self._from_heads = Projection(self.attn_out)
        self._gate = Projection(self.ff_proj)
        self._up = Projection(self.up_proj)
        self._contract = Projection(self.ff_out)

    def forward(self, rows: Tensor, rotary: Rotary, attend: AttentionBackend, wanted: Tensor | None = None) -> Tensor:
        """The layer's output for all rows, or for the `wanted` ones; all of them are attended to."""
        heads = self._to_heads.weight.product(self.attn_norm(rows)).view(len(rows), -1, self.head_dim)
        turning, values = torch.split(heads, [self.heads + self.kv_heads, self.kv_heads], dim=-2)
        queries, keys = torch.split(rotary(turning), [self.heads, self.kv_heads], dim=-2)
        attended = attend(self.layer, queries, keys, values).flatten(-2)
        if wanted is not None:
            rows, attended = rows[wanted], attended[wanted]
        rows = self._from_heads.weight.plus(attended, rows)
        normed = self.ff_norm(rows)
        expanded = self._up.weight.times(normed, self._gate.weight.silu(normed))
        return self._contract.weight.plus(expanded, rows)

    def pack(self) -> None:
        for projection in (self._to_heads, self._from_heads, self._gate, self._up, self._contract):
            projection.pack()


class Llada(nn.Module):
    """The whole network; parameter names are the published ones behind `WEIGHT_PREFIX`."""

    def __init__(self, config: LladaConfig) -> None:
        super().__init__()
        self.config = config
        self.wte = _embedding(config.embedding_size, config.d_model)
        self.blocks = nn.ModuleList(LladaBlock(config, layer) for layer in range(config.n_layers))
        self.ln_f = RmsNorm(config.d_model, config.rms_norm_eps)
        self.ff_out = None if config.weight_tying else nn.Linear(config.d_model, config.embedding_size, bias=False)
        self._to_vocabulary: Weight | None = None

    def forward(
        self, token_ids: Tensor, positions: Tensor, attend: AttentionBackend, wanted: Tensor | None = None
    ) -> Tensor:
        """Hidden states `[rows, d_model]` of packed `token_ids` and `positions`, both int64 `[rows]`.

        With `wanted`, int64 `[wanted]`, those of these rows alone: the last layer leaves out what nobody reads.
        """
        rows: Tensor = self.wte(token_ids)
        rotary = Rotary(positions, self.config, rows.dtype)
        *blocks, last = self.blocks
        for block in blocks:
            rows = block(rows, rotary, attend)
        hidden: Tensor = last(rows, rotary, attend, wanted)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits `[rows, vocabulary]` of hidden states, in the model's dtype."""
        weight = self._to_vocabulary or PlainWeight(self.output_weight)
        return weight.product(self.ln_f(hidden))

    def pack(self) -> None:
        """Lays the weights out for inference; there is no way back to training."""
        for layer in self.modules():
            if isinstance(layer, LladaBlock):
                layer.pack()
        self._to_vocabulary = packed(self.output_weight)
        self.ff_out = None

    @property
    def output_weight(self) -> Tensor:
        """Return the matrix `[vocabulary, d_model]` that makes logits; it is the embedding's own where it is tied."""
        return self.wte.weight if self.ff_out is None else self.ff_out.weight


def _embedding(count: int, width: int) -> nn.Embedding:
    """As `nn.Embedding` makes it, but on the meta device nothing is drawn: that would import torch's whole compiler."""
    weight = torch.empty(count, width)
    if not weight.is_meta:
        nn.init.normal_(weight)
    return nn.Embedding(count, width, _weight=weight)
