"""iLLaDA: a Llama that attends both ways, as in the published modeling code (GSAI-ML/iLLaDA-8B)."""

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

_ONLY: Final[Mapping[str, str | bool]] = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
_OF_LAYER: Final[Mapping[str, str]] = {
    "input_layernorm.weight": "attention_norm.weight",
    "self_attn.q_proj.weight": "qkv.weights.0",
    "self_attn.k_proj.weight": "qkv.weights.1",
    "self_attn.v_proj.weight": "qkv.weights.2",
    "self_attn.o_proj.weight": "attention_out.weights.0",
    "post_attention_layernorm.weight": "mlp_norm.weight",
    "mlp.gate_proj.weight": "mlp.gate.weights.0",
    "mlp.up_proj.weight": "mlp.up.weights.0",
    "mlp.down_proj.weight": "mlp.down.weights.0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IlladaConfig:
    """The part of config.json that decides what is computed; the weights are tied unless it says otherwise."""

    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    num_key_value_heads: Size
    vocab_size: Size
    max_position_embeddings: Size
    rms_norm_eps: Positive
    rope_theta: Positive
    tie_word_embeddings: bool = True

    @property
    def transformer(self) -> TransformerConfig:
        head_dim = self.hidden_size // self.num_attention_heads
        return TransformerConfig(
            hidden_size=self.hidden_size,
            num_layers=self.num_hidden_layers,
            num_heads=self.num_attention_heads,
            num_kv_heads=self.num_key_value_heads,
            head_dim=head_dim,
            intermediate_size=self.intermediate_size,
            vocab_size=self.vocab_size,
            padded_vocab_size=self.vocab_size,
            max_positions=self.max_position_embeddings,
            rotary=RotaryConfig(rotated=head_dim, theta=self.rope_theta),
            rms_norm_eps=self.rms_norm_eps,
            tie_word_embeddings=self.tie_word_embeddings,
        )


def parse(config: Mapping[str, Any]) -> TransformerConfig:
    """Read config.json. Raises `UnsupportedModelError` naming the key that is missing, wrong or not supported."""
    check_values(config, _ONLY)
    check_nothing_extra(config)
    if config.get("layer_norm_eps") is not None:
        raise UnsupportedModelError("config.json: layer_norm_eps asks for LayerNorm; only RMSNorm is supported")
    values = {key: value for key, value in config.items() if value is not None}
    values.setdefault("num_key_value_heads", values.get("num_attention_heads"))
    values["rope_theta"] = rope_theta(config)
    parsed = read_fields(IlladaConfig, values)
    check_heads(parsed, "hidden_size", "num_attention_heads", "num_key_value_heads")
    check_values(config, {"head_dim": parsed.transformer.head_dim})
    return parsed.transformer


def weight_names(config: TransformerConfig) -> dict[str, str]:
    return name_weights(
        config,
        embedding="model.embed_tokens.weight",
        layers="model.layers",
        of_layer=_OF_LAYER,
        norm="model.norm.weight",
        head="lm_head.weight",
    )


ILLADA: Final = Family(
    name="illada",
    model_type="illada",
    architectures=("ILLaDAForCausalLM",),
    parse=parse,
    weight_names=weight_names,
    ignored_weights=("lm_head.weight",),  # a copy of the embedding, where it is tied
    mask_token_id=5,
    # As its evaluation runs it: one token a pass and no cache, for neither a threshold nor a cache is published.
    authors_defaults={
        "canvas": "grow",
        "max_tokens": 1024,
        "block_length": 32,
        "steps_per_block": 32,
        "kv_cache": "none",
    },
    chat_defaults={"max_tokens": 2048, "end_of_thinking_boost": 100.0, "end_of_thinking_power": 3.0},
    end_of_thinking="</think>",
)
