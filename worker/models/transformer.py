"""The transformer that all families here are: pre-norm layers of grouped attention and a gated MLP, over packed rows.

A row is one position of one request's canvas. Rows of many requests lie one behind the other without padding; only
attention knows where a request begins and ends, and it is handed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.attention.base import AttentionBackend
from worker.kvcache.arena import KVCacheSpec
from worker.layers.linear import Layers, Linear, PlainWeight, Weight, pack_weight
from worker.layers.mlp import GatedMlp
from worker.layers.norm import RmsNorm
from worker.layers.rotary import RotaryConfig, Rotation, rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """What is computed. `padded_vocab_size` rows of embedding and logits, of which `vocab_size` are tokens."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    padded_vocab_size: int
    max_positions: int
    rotary: RotaryConfig
    rms_norm_eps: float
    tie_word_embeddings: bool = False
    qkv_bias: bool = False

    @property
    def kv(self) -> KVCacheSpec:
        return KVCacheSpec(layers=self.num_layers, kv_heads=self.num_kv_heads, head_dim=self.head_dim)


class TransformerLayer(nn.Module):
    """One pre-norm layer: attention, then MLP."""

    def __init__(self, config: TransformerConfig, number: int, layers: Layers) -> None:
        super().__init__()
        hidden, heads = config.hidden_size, config.num_heads * config.head_dim
        kv = config.num_kv_heads * config.head_dim
        self.number, self.head_dim = number, config.head_dim
        self.heads, self.kv_heads = config.num_heads, config.num_kv_heads
        self.attention_norm = RmsNorm(hidden, config.rms_norm_eps)
        self.qkv = layers.column(hidden, heads, kv, kv, bias=config.qkv_bias)
        self.attention_out = layers.row(heads, hidden)
        self.mlp_norm = RmsNorm(hidden, config.rms_norm_eps)
        self.mlp = GatedMlp(hidden, config.intermediate_size, layers)

    def forward(self, rows: Tensor, rotate: Rotation, attend: AttentionBackend, wanted: Tensor | None = None) -> Tensor:
        """Return the layer's output for all rows, or for the `wanted` ones; all of them are attended to."""
        heads = self.qkv.weight.product(self.attention_norm(rows)).view(len(rows), -1, self.head_dim)
        turning, values = torch.split(heads, [self.heads + self.kv_heads, self.kv_heads], dim=-2)
        queries, keys = torch.split(rotate(turning), [self.heads, self.kv_heads], dim=-2)
        attended = attend(self.number, queries, keys, values).flatten(-2)
        if wanted is not None:
            rows, attended = rows[wanted], attended[wanted]
        rows = self.attention_out.weight.plus(attended, rows)
        return self.mlp.plus(self.mlp_norm(rows), rows)


class Transformer(nn.Module):
    """The whole network. `compute_logits` is apart from it, as few rows need them."""

    def __init__(self, config: TransformerConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        self.embedding = layers.embedding(config.padded_vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(TransformerLayer(config, number, layers) for number in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        tied = config.tie_word_embeddings
        self.lm_head = None if tied else layers.column(config.hidden_size, config.padded_vocab_size)
        self._tied_head: Weight | None = None

    def forward(
        self, token_ids: Tensor, positions: Tensor, attend: AttentionBackend, wanted: Tensor | None = None
    ) -> Tensor:
        """Return hidden states `[rows, hidden]` of packed `token_ids` and `positions`, both int64 `[rows]`.

        With `wanted`, int64 `[wanted]`, those of these rows alone: the last layer leaves out what nobody reads.
        """
        rows: Tensor = self.embedding(token_ids)
        rotate = rotation(positions, self.config.rotary, rows.dtype)
        *layers, last = self.layers
        for layer in layers:
            rows = layer(rows, rotate, attend)
        hidden: Tensor = last(rows, rotate, attend, wanted)
        return hidden

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """Return logits `[rows, padded vocabulary]` of hidden states, in the model's dtype."""
        return self._head.product(self.norm(hidden))

    def pack(self) -> None:
        """Lay the weights out for inference; there is no way back to training."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.pack()
        if self.lm_head is None:
            self._tied_head = pack_weight(self.embedding.weight)

    @property
    def output_weight(self) -> Tensor:
        """Return the matrix `[padded vocabulary, hidden]` that makes logits, until `pack` has laid it out."""
        return self.embedding.weight if self.lm_head is None else self.lm_head.weights[0]

    @property
    def _head(self) -> Weight:
        if self.lm_head is not None:
            return self.lm_head.weight
        return self._tied_head or PlainWeight(self.embedding.weight)


def name_weights(
    config: TransformerConfig, *, embedding: str, layers: str, of_layer: Mapping[str, str], norm: str, head: str
) -> dict[str, str]:
    """Return for each name in a checkpoint that of a parameter; `of_layer` has those of a layer, without its number."""
    names = {embedding: "embedding.weight"}
    for layer in range(config.num_layers):
        names |= {f"{layers}.{layer}.{name}": f"layers.{layer}.{own}" for name, own in of_layer.items()}
    names[norm] = "norm.weight"
    if not config.tie_word_embeddings:
        names[head] = "lm_head.weights.0"
    return names
