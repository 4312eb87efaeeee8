import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from testing.folders import ILLADA_GOLDEN
from tests.unit.worker.models.test_llada import attend
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.config import UnsupportedModelError
from worker.models.illada import ILLADA
from worker.models.loading import load_model
from worker.models.spec import LoadedModel

CONFIG: dict[str, Any] = json.loads((ILLADA_GOLDEN / "config.json").read_text())
REFERENCE = load_file(ILLADA_GOLDEN / "logits.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the golden checkpoint to change."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ILLADA_GOLDEN / name, tmp_path / name)
    return tmp_path


def load(folder: Path) -> LoadedModel:
    return load_model(Checkpoint.find(str(folder)), torch.device("cpu"), torch.float32)


def change(folder: Path, *, without: tuple[str, ...] = (), **changes: object) -> None:
    config = {key: value for key, value in (CONFIG | changes).items() if key not in without}
    (folder / "config.json").write_text(json.dumps(config))


def change_head(folder: Path, head: torch.Tensor | None) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("lm_head.weight")
    save_file(tensors | ({} if head is None else {"lm_head.weight": head}), folder / "model.safetensors")


def is_the_published_model(model: LoadedModel) -> bool:
    ids = REFERENCE["input_ids"].flatten().long()
    with torch.inference_mode():
        logits = model.network.compute_logits(model.network(ids, torch.arange(len(ids)), attend))
    return torch.allclose(logits, REFERENCE["logits"].view_as(logits), rtol=0, atol=1e-4)


def test_logits_are_those_of_the_published_code(folder: Path) -> None:
    model = load(folder)
    assert is_the_published_model(model)
    assert (model.spec.family, model.spec.mask_token_id, model.spec.eos_token_ids) == ("illada", 5, (2,))


@pytest.mark.parametrize("head", [None, torch.zeros(320, 64)], ids=["missing", "other"])
def test_a_tied_model_s_output_matrix_in_the_file_does_not_matter(folder: Path, head: torch.Tensor | None) -> None:
    change_head(folder, head)
    assert is_the_published_model(load(folder))


def test_weights_are_tied_where_the_config_does_not_say(folder: Path) -> None:
    change(folder, without=("tie_word_embeddings",))
    change_head(folder, None)
    assert is_the_published_model(load(folder))


def test_a_model_that_is_not_tied_has_an_output_matrix_of_its_own(folder: Path) -> None:
    change(folder, tie_word_embeddings=False)
    assert is_the_published_model(load(folder))
    change_head(folder, torch.zeros(320, 64))
    assert not is_the_published_model(load(folder))
    change_head(folder, None)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is missing"):
        load(folder)


def test_the_mask_is_what_the_config_says_where_it_says_so(folder: Path) -> None:
    change(folder, mask_token_id=7)
    assert load(folder).spec.mask_token_id == 7


@pytest.mark.parametrize(
    ("name", "tensor", "problem"),
    [
        ("model.layers.1.self_attn.k_proj.weight", None, "is missing"),
        ("model.layers.0.self_attn.q_proj.bias", torch.zeros(64), "is not part of this architecture"),
        ("model.layers.0.input_layernorm.bias", torch.zeros(64), "is not part of this architecture"),
        ("model.layers.0.mlp.up_proj.weight", torch.zeros(64, 64), r"has shape \[64, 64\], not \[176, 64\]"),
    ],
)
def test_a_wrong_tensor_is_named(folder: Path, name: str, tensor: torch.Tensor | None, problem: str) -> None:
    tensors = load_file(folder / "model.safetensors") | {name: tensor}
    kept = {key: value for key, value in tensors.items() if value is not None}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{name} {problem}"):
        load(folder)


def test_theta_may_stand_where_newer_files_have_it() -> None:
    config = {key: value for key, value in CONFIG.items() if key != "rope_theta"}
    parameters = {"rope_theta": 500000.0, "rope_type": "default"}
    assert ILLADA.parse(config | {"rope_parameters": parameters}) == ILLADA.parse(CONFIG)


@pytest.mark.parametrize(
    "asks_for_nothing",
    [
        {"rope_scaling": None},
        {"rope_scaling": {"type": "default"}},
        {"rope_scaling": {"rope_type": "linear", "factor": 1.0}},
        {"rope_scaling": False},
        {"sliding_window": 4096, "use_sliding_window": False},
        {"sliding_window": 0},
        {"layer_types": ["full_attention"] * 2},
        {"quantization_config": {}},
        {"partial_rotary_factor": 1.0},
    ],
)
def test_what_asks_for_nothing_is_accepted(asks_for_nothing: dict[str, Any]) -> None:
    assert ILLADA.parse(CONFIG | asks_for_nothing) == ILLADA.parse(CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("layer_norm_eps", 1e-5),
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        ("rope_scaling", "linear"),
        ("rope_parameters", {"rope_type": "llama3", "rope_theta": 500000.0}),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 10000.0}),
        ("rope_parameters", {"rope_type": "default", "partial_rotary_factor": 0.5}),
        ("rope_parameters", {"full_attention": {"rope_type": "yarn", "factor": 4.0}}),
        ("sliding_window", 512),
        ("use_sliding_window", True),
        ("layer_types", ["full_attention", "sliding_attention"]),
        ("partial_rotary_factor", 0.5),
        ("quantization_config", {"quant_method": "awq"}),
        ("head_dim", 32),
        ("rms_norm_eps", None),
        ("rms_norm_eps", 0),
        ("rope_theta", None),
        ("rope_theta", math.inf),
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**30),
        ("hidden_size", 66),
        ("hidden_size", "wide"),
        ("num_key_value_heads", 3),
        ("num_attention_heads", True),
        ("max_position_embeddings", 0),
        ("tie_word_embeddings", "sometimes"),
    ],
)
def test_what_the_network_does_not_do_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(UnsupportedModelError, match=f"config.json: .*{key}"):
        ILLADA.parse(CONFIG | {key: value})
