"""LLaDA: names and rounding as in the published modeling code (GSAI-ML/LLaDA-8B, `block_type: llama`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.layers.rotary import RotaryConfig
from worker.models.config import (
    Layers,
    Positive,
    Size,
    UnsupportedModelError,
    check_heads,
    check_nothing_extra,
    check_values,
    read_fields,
    rope_theta,
)
from worker.models.spec import Family
from worker.models.transformer import TransformerConfig, name_weights

_ONLY: Final[Mapping[str, str | bool]] = {
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
_PREFIX: Final = "model.transformer."
_OF_LAYER: Final[Mapping[str, str]] = {
    "attn_norm.weight": "attention_norm.weight",
    "q_proj.weight": "qkv.weights.0",
    "k_proj.weight": "qkv.weights.1",
    "v_proj.weight": "qkv.weights.2",
    "attn_out.weight": "attention_out.weights.0",
    "ff_norm.weight": "mlp_norm.weight",
    "ff_proj.weight": "mlp.gate.weights.0",
    "up_proj.weight": "mlp.up.weights.0",
    "ff_out.weight": "mlp.down.weights.0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LladaConfig:
    """The part of config.json that decides what is computed."""

    d_model: Size
    n_layers: Layers
    n_heads: Size
    n_kv_heads: Size
    mlp_hidden_size: Size
    vocab_size: Size
    embedding_size: Size
    max_sequence_length: Size
    rope_theta: Positive = 10_000.0
    rope_full_precision: bool = True
    rms_norm_eps: Positive = 1e-5
    weight_tying: bool = False

    @property
    def transformer(self) -> TransformerConfig:
        head_dim = self.d_model // self.n_heads
        return TransformerConfig(
            hidden_size=self.d_model,
            num_layers=self.n_layers,
            num_heads=self.n_heads,
            num_kv_heads=self.n_kv_heads,
            head_dim=head_dim,
            intermediate_size=self.mlp_hidden_size,
            vocab_size=self.vocab_size,
            padded_vocab_size=self.embedding_size,
            max_positions=self.max_sequence_length,
            rotary=RotaryConfig(
                rotated=head_dim, theta=self.rope_theta, precision="float32", rounded=not self.rope_full_precision
            ),
            rms_norm_eps=self.rms_norm_eps,
            tie_word_embeddings=self.weight_tying,
        )


def parse(config: Mapping[str, Any]) -> TransformerConfig:
    """Read config.json. Raises `UnsupportedModelError` naming the key that is missing, wrong or not supported."""
    check_values(config, _ONLY)
    check_nothing_extra(config)
    values = {key: value for key, value in config.items() if value is not None}
    values["rope_theta"] = rope_theta(config)
    values.setdefault("n_kv_heads", values.get("n_heads"))
    values.setdefault("embedding_size", values.get("vocab_size"))
    if isinstance(config.get("mlp_ratio"), int) and isinstance(config.get("d_model"), int):
        values.setdefault("mlp_hidden_size", config["mlp_ratio"] * config["d_model"])
    parsed = read_fields(LladaConfig, values)
    check_heads(parsed, "d_model", "n_heads", "n_kv_heads")
    if parsed.vocab_size > parsed.embedding_size:
        raise UnsupportedModelError("config.json: vocab_size must not be more than embedding_size")
    return parsed.transformer


def weight_names(config: TransformerConfig) -> dict[str, str]:
    return name_weights(
        config,
        embedding=f"{_PREFIX}wte.weight",
        layers=f"{_PREFIX}blocks",
        of_layer=_OF_LAYER,
        norm=f"{_PREFIX}ln_f.weight",
        head=f"{_PREFIX}ff_out.weight",
    )


LLADA: Final = Family(
    name="llada",
    model_type="llada",
    architectures=("LLaDAModelLM",),
    parse=parse,
    weight_names=weight_names,
    repeated_heads=(f"{_PREFIX}ff_out.weight", "lm_head.weight"),
)
