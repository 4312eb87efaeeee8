"""What a checkpoint's small files say of a model, before any weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.config import UnsupportedModelError
from worker.models.registry import find_family
from worker.models.spec import Family, ModelSpec
from worker.models.tokens import Vocabulary, encode, end_token_ids, mask_token_id
from worker.models.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Outline:
    """A network as config.json describes it, on the meta device: its shapes, and no weights."""

    config: Mapping[str, Any]
    family: Family
    network: Transformer

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> "Outline":
        """Raises `CheckpointError` for a model that is not supported."""
        config, family = checkpoint.read_json("config.json", required=True), find_family_of(checkpoint)
        try:
            parsed = family.parse(config)
        except UnsupportedModelError as error:
            raise CheckpointError(f"{checkpoint.source}: {error}") from error
        with torch.device("meta"):
            return cls(config, family, Transformer(parsed))

    @property
    def weight_names(self) -> Mapping[str, str]:
        """Return for each name in the checkpoint the name of a parameter of the network."""
        return self.family.weight_names(self.network.config)


def find_family_of(checkpoint: Checkpoint) -> Family:
    """Return the family that config.json names. Raises `CheckpointError`."""
    try:
        return find_family(checkpoint.read_json("config.json", required=True))
    except UnsupportedModelError as error:
        raise CheckpointError(f"{checkpoint.source}: {error}") from error


def read_spec(checkpoint: Checkpoint, outline: Outline, vocabulary: Vocabulary) -> ModelSpec:
    """Return what config.json and the tokenizer's files say of a model. Raises `CheckpointError`."""
    config, family = outline.network.config, outline.family
    size = config.vocab_size
    return ModelSpec(
        family=family.name,
        model_type=family.model_type,
        kv=config.kv,
        num_heads=config.num_heads,
        vocab_size=size,
        padded_vocab_size=config.padded_vocab_size,
        max_positions=config.max_positions,
        mask_token_id=mask_token_id(checkpoint, outline.config, vocabulary, size, family.mask_token_id),
        eos_token_ids=end_token_ids(checkpoint, outline.config, vocabulary, size),
        end_of_thinking_ids=encode(checkpoint, family.end_of_thinking, size) if family.end_of_thinking else (),
    )
