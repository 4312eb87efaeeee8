"""Networks with random weights, on a device or as a checkpoint that the whole stack can serve.

The weights are drawn so that the network has preferences. With small ones attention would be even, so that every masked
position would see the same, and a threshold would commit all of them at once or one at a time.
"""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from testing.folders import DEMO
from textdiffusion.fingerprint import TOKENIZER_FILES
from worker.models.llada import LLADA, LladaConfig
from worker.models.spec import LoadedModel, ModelSpec
from worker.models.transformer import Transformer

# Of the logits, and of queries and keys; all else leaves its products spread as widely as their factors.
LOGIT_SPREAD = 8.0
QUERY_SPREAD = 2.5


CPU = torch.device("cpu")


def random_weights(config: LladaConfig, dtype: torch.dtype, device: torch.device = CPU) -> Iterator[tuple[str, Tensor]]:
    """Yield every weight of a network, under its name there; the same ones each time."""
    generator = torch.Generator(device).manual_seed(0)
    with torch.device("meta"):
        network = Transformer(config.transformer)
    for name, weight in network.state_dict().items():
        if weight.dim() == 1:
            yield name, torch.ones(weight.shape, dtype=dtype, device=device)
        else:
            drawn = torch.randn(weight.shape, generator=generator, dtype=dtype, device=device)
            yield name, drawn.mul_(_spread(name, weight.shape[1]))


def random_model(config: LladaConfig, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """Return a network that goes straight to the device, for sizes that nobody wants on a disk."""
    with torch.device("meta"):
        network = Transformer(config.transformer)
    network.load_state_dict(dict(random_weights(config, dtype, device)), assign=True)
    parameters = sum(weight.numel() for weight in network.parameters())
    network.eval().requires_grad_(False).pack()
    sizes = network.config
    spec = ModelSpec(
        family=LLADA.name,
        model_type=LLADA.model_type,
        kv=sizes.kv,
        num_heads=sizes.num_heads,
        vocab_size=sizes.vocab_size,
        padded_vocab_size=sizes.padded_vocab_size,
        max_positions=sizes.max_positions,
        mask_token_id=_demo_config()["mask_token_id"],
    )
    return LoadedModel(spec=spec, network=network, device=device, dtype=dtype, parameters=parameters, fingerprint="")


def write_random_checkpoint(config: LladaConfig, folder: Path) -> Path:
    """Makes `folder`, in Hugging Face layout, with the demo model's tokenizer and a word more for each further id.

    Raises `ValueError` if the tokenizer has more tokens than the network knows.
    """
    folder.mkdir()
    weights = dict(random_weights(config, torch.bfloat16))
    names = LLADA.weight_names(config.transformer)
    save_file({name: weights[own] for name, own in names.items()}, folder / "model.safetensors")
    ids = {name: number for name, number in _demo_config().items() if name.endswith("_token_id")}
    described = {"model_type": "llada", **asdict(config), **ids}
    (folder / "config.json").write_text(json.dumps(described, indent=2))
    for name in TOKENIZER_FILES:
        if (DEMO / name).exists():
            shutil.copy(DEMO / name, folder)
    _add_words(folder / "tokenizer.json", config.vocab_size)
    return folder


def _demo_config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((DEMO / "config.json").read_text())
    return config


def _spread(name: str, inner: int) -> float:
    """The standard deviation of a matrix whose rows are multiplied with `inner` numbers."""
    if name == "embedding.weight":
        return 1.0
    if name == "lm_head.weights.0":
        return LOGIT_SPREAD / math.sqrt(inner)
    return (QUERY_SPREAD if name.endswith(("qkv.weights.0", "qkv.weights.1")) else 1.0) / math.sqrt(inner)


def _add_words(file: Path, vocab_size: int) -> None:
    tokenizer = json.loads(file.read_text())
    words = tokenizer["model"]["vocab"]
    taken = {*words.values(), *(token["id"] for token in tokenizer["added_tokens"])}
    if max(taken) >= vocab_size:
        raise ValueError(f"the demo model's tokenizer has ids up to {max(taken)}, this network only {vocab_size}")
    words.update({f"Ġw{number}": number for number in range(vocab_size) if number not in taken})
    file.write_text(json.dumps(tokenizer))
