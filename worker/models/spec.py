"""All that the rest of the worker may know of a model, and of the family that it belongs to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from worker.attention.base import AttentionBackend
from worker.kvcache.arena import KVCacheSpec
from worker.models.transformer import TransformerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model as the engine sees it.

    A canvas has at most `max_positions`; logits are `padded_vocab_size` long, of which `vocab_size` are tokens.
    `end_of_thinking_ids` are the tokens of the text that ends thinking in its family; empty where there is none.
    """

    family: str
    model_type: str
    kv: KVCacheSpec
    num_heads: int
    vocab_size: int
    padded_vocab_size: int
    max_positions: int
    mask_token_id: int
    eos_token_ids: tuple[int, ...] = ()
    end_of_thinking_ids: tuple[int, ...] = ()


class DiffusionModel(Protocol):
    """A network over packed rows; `config` has its sizes."""

    config: TransformerConfig

    def __call__(
        self, token_ids: Tensor, positions: Tensor, attend: AttentionBackend, wanted: Tensor | None = None
    ) -> Tensor:
        """Return hidden states of all rows, or of the `wanted` ones."""
        ...

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """Return logits `[rows, padded_vocab_size]` of hidden states."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A network on its device, ready to run."""

    spec: ModelSpec
    network: DiffusionModel
    device: torch.device
    dtype: torch.dtype
    parameters: int
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models of one architecture: how their files are read, and what their authors run them with.

    `parse` reads config.json and raises `UnsupportedModelError`. `weight_names` leads from each name in a checkpoint to
    a parameter of the network, of which several may become one product. `repeated_heads` are names under which a
    checkpoint may hold the output matrix a second time, and `ignored_weights` what the published code does not read
    where `weight_names` does not have it. `mask_token_id` is for families whose files do not name it.
    `authors_defaults` are options of requests as the authors run the model, `chat_defaults` those besides for a model
    that is tuned for chats, which `end_of_thinking` ends the thinking of.
    """

    name: str
    model_type: str
    architectures: tuple[str, ...]
    parse: Callable[[Mapping[str, Any]], TransformerConfig]
    weight_names: Callable[[TransformerConfig], Mapping[str, str]]
    repeated_heads: tuple[str, ...] = ()
    ignored_weights: tuple[str, ...] = ()
    mask_token_id: int | None = None
    authors_defaults: Mapping[str, Any] = field(default_factory=dict)
    chat_defaults: Mapping[str, Any] = field(default_factory=dict)
    end_of_thinking: str = ""
