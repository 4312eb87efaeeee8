from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from testing.folders import GOLDEN
from worker.layers.linear import pack_weight
from worker.models.config import UnsupportedModelError
from worker.models.llada import LLADA
from worker.models.spec import LoadedModel
from worker.models.transformer import Transformer

CONFIG = {
    "d_model": 64,
    "n_heads": 4,
    "n_layers": 2,
    "mlp_hidden_size": 96,
    "vocab_size": 50,
    "max_sequence_length": 32,
}


def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    del layer
    query, key, value = (rows.transpose(0, 1)[None] for rows in (queries, keys, values))
    return functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)[0].transpose(0, 1)


def test_logits_are_those_of_the_published_code(golden_model: LoadedModel) -> None:
    reference = load_file(GOLDEN / "logits.safetensors")
    ids = reference["input_ids"].flatten().long()
    network = golden_model.network
    with torch.inference_mode():
        logits = network.compute_logits(network(ids, torch.arange(len(ids)), attend))
    assert torch.allclose(logits, reference["logits"].view_as(logits), rtol=0, atol=1e-4)


def test_grouped_heads_equal_a_model_that_repeats_them() -> None:
    torch.manual_seed(0)
    grouped = Transformer(LLADA.parse(CONFIG | {"n_kv_heads": 2}))
    repeated = Transformer(LLADA.parse(CONFIG))
    weights = grouped.state_dict()
    for name, weight in weights.items():
        if name.endswith(("qkv.weights.1", "qkv.weights.2")):
            weights[name] = weight.unflatten(0, (2, 16)).repeat_interleave(2, dim=0).flatten(0, 1)
    repeated.load_state_dict(weights)
    ids, positions = torch.randint(50, (9,)), torch.arange(9)
    assert torch.allclose(grouped(ids, positions, attend), repeated(ids, positions, attend), atol=1e-5)


def test_tied_weights_need_no_output_matrix() -> None:
    network = Transformer(LLADA.parse(CONFIG | {"weight_tying": True}))
    assert not any(name.startswith("lm_head") for name in network.state_dict())
    assert network.compute_logits(torch.zeros(3, 64)).shape == (3, 50)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_packed_weights_give_what_the_plain_ones_give(tied: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = Transformer(LLADA.parse(CONFIG | {"n_kv_heads": 2, "weight_tying": tied})).to(dtype)
    ids, positions = torch.randint(50, (9,)), torch.arange(9)
    with torch.inference_mode():
        plain = network.compute_logits(network(ids, positions, attend))
        network.pack()
        packed = network.compute_logits(network(ids, positions, attend))
    largest = float(plain.abs().max())
    assert torch.allclose(packed, plain, rtol=0, atol=largest * (1e-5 if dtype is torch.float32 else 2e-2))


def test_wanted_rows_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    network = Transformer(LLADA.parse(CONFIG))
    ids, positions = torch.randint(50, (9,)), torch.arange(9)
    wanted = torch.tensor([7, 2])
    assert torch.allclose(network(ids, positions, attend, wanted), network(ids, positions, attend)[wanted], atol=1e-5)


def test_a_packed_product_of_a_row_does_not_depend_on_the_other_rows() -> None:
    torch.manual_seed(0)
    multiply = pack_weight(torch.randn(96, 64).bfloat16()).product
    rows = torch.randn(300, 64).bfloat16()
    whole = multiply(rows)
    for start, end in [(0, 1), (3, 20), (37, 101), (44, 300)]:
        assert torch.equal(multiply(rows[start:end]), whole[start:end])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"block_type": "sequential"}, "block_type"),
        ({"alibi": True}, "alibi"),
        ({"include_bias": True}, "include_bias"),
        ({"n_heads": 5}, "n_heads"),
        ({"d_model": None}, "d_model"),
        ({"n_layers": "two"}, "n_layers"),
    ],
)
def test_a_config_that_is_not_supported_is_refused_by_the_name_of_its_key(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedModelError, match=named):
        LLADA.parse(CONFIG | change)


def test_the_base_of_the_angles_may_stand_where_newer_files_have_it() -> None:
    newer = {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}
    assert LLADA.parse(CONFIG | newer) == LLADA.parse(CONFIG | {"rope_theta": 500_000.0})


def test_a_config_that_lacks_a_key_is_refused_by_its_name() -> None:
    with pytest.raises(UnsupportedModelError, match="n_layers"):
        LLADA.parse({key: value for key, value in CONFIG.items() if key != "n_layers"})
