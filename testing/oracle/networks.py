"""The networks from the folders of their checkpoints: bidirectional Llamas, which families name differently."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

KeysAndValues = Sequence[tuple[Tensor, Tensor]]

# No file of an iLLaDA says which token is its mask.
ILLADA_MASK = 5
# The masks of illada-tiny have small embeddings, and their norm magnifies what rounding does to them.
ILLADA_ROUNDING = 6.0
# Parts of the names in an iLLaDA, and what LLaDA calls the same.
IN_LLADA = {
    "model.embed_tokens": "wte",
    "model.layers": "blocks",
    "model.norm": "ln_f",
    "lm_head": "ff_out",
    "input_layernorm": "attn_norm",
    "self_attn.o_proj": "attn_out",
    "self_attn.": "",
    "post_attention_layernorm": "ff_norm",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}


class Network(Protocol):
    """A model that is decoded; `rounding` is how far float32 moves its logits, in multiples of llada-tiny's."""

    mask_token_id: int
    rounding: float

    def __call__(
        self, canvas: Sequence[int], start: int, end: int, kept: KeysAndValues
    ) -> tuple[Tensor, KeysAndValues]:
        """Return logits, keys and values of positions `start` to `end`, given those keys and values that are `kept`."""
        ...


class Transformer:
    """LLaDA or iLLaDA, whichever the folder holds, with the weights of the checkpoint."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
        if self.config["model_type"] == "illada":
            self.mask_token_id: int = self.config.get("mask_token_id", ILLADA_MASK)
            self.rounding = ILLADA_ROUNDING
            self._layers, self._heads = self.config["num_hidden_layers"], self.config["num_attention_heads"]
            self._tied = self.config.get("tie_word_embeddings", True)
            weights = {_name_in_llada(name): weight for name, weight in weights.items()}
        else:
            self.mask_token_id, self.rounding = self.config["mask_token_id"], 1.0
            self._layers, self._heads = self.config["n_layers"], self.config["n_heads"]
            self._tied = False
        self._weights = {name.removeprefix("model.transformer."): weight.to(dtype) for name, weight in weights.items()}

    def __call__(
        self, canvas: Sequence[int], start: int, end: int, kept: KeysAndValues
    ) -> tuple[Tensor, KeysAndValues]:
        """Return logits, keys and values of positions `start` to `end`, given those keys and values that are `kept`."""
        rows = self._weights["wte.weight"][torch.tensor(canvas[start:end])]
        fresh = []
        for layer in range(self._layers):
            normed = self._norm(rows, f"blocks.{layer}.attn_norm")
            size = rows.shape[1] // self._heads
            queries, keys, values = (
                self._linear(normed, f"blocks.{layer}.{name}_proj").reshape(len(rows), -1, size) for name in "qkv"
            )
            queries, keys = self._rotate(queries, start), self._rotate(keys, start)
            fresh.append((keys, values))
            if kept:
                keys, values = (
                    torch.cat((old[:start], new, old[end:])) for old, new in zip(kept[layer], fresh[layer], strict=True)
                )
            rows = rows + self._linear(self._attend(queries, keys, values), f"blocks.{layer}.attn_out")
            normed = self._norm(rows, f"blocks.{layer}.ff_norm")
            gate = functional.silu(self._linear(normed, f"blocks.{layer}.ff_proj"))
            rows = rows + self._linear(gate * self._linear(normed, f"blocks.{layer}.up_proj"), f"blocks.{layer}.ff_out")
        return self._linear(self._norm(rows, "ln_f"), "wte" if self._tied else "ff_out"), fresh

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Let every query attend to every key, where each head of keys serves as many neighbouring heads of queries."""
        shared = queries.shape[1] // keys.shape[1]
        keys, values = keys.repeat_interleave(shared, dim=1), values.repeat_interleave(shared, dim=1)
        weights = torch.einsum("qhd,khd->hqk", queries, keys).div(math.sqrt(keys.shape[-1])).softmax(-1)
        return torch.einsum("hqk,khd->qhd", weights, values).flatten(1)

    def _linear(self, rows: Tensor, name: str) -> Tensor:
        return rows @ self._weights[f"{name}.weight"].T

    def _norm(self, rows: Tensor, name: str) -> Tensor:
        scale = torch.rsqrt(rows.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return rows * scale * self._weights[f"{name}.weight"]

    def _rotate(self, heads: Tensor, start: int) -> Tensor:
        length, _, size = heads.shape
        frequencies = self.config["rope_theta"] ** -(torch.arange(0, size, 2).double() / size)
        angles = torch.outer(torch.arange(start, start + length).double(), frequencies)[:, None]
        cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
        first, second = heads.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def _name_in_llada(name: str) -> str:
    for part, known in IN_LLADA.items():
        name = name.replace(part, known)
    return name
