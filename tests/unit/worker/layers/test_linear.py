import pytest
import torch
from torch.nn import functional

from worker.layers.linear import Layers, pack_weight

ROWS = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_merged_maps_give_what_each_gives_alone_before_and_after_they_are_packed(
    bias: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    linear = Layers().column(24, 16, 8, 8, bias=bias).to(dtype)
    for one in linear.biases or ():
        torch.nn.init.normal_(one)
    rows = ROWS.to(dtype)
    alone = [
        functional.linear(rows, weight, linear.biases[part] if linear.biases else None)
        for part, weight in enumerate(linear.weights)
    ]
    expected = torch.cat(alone, dim=-1)
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype is torch.float32 else 5e-2}
    with torch.inference_mode():
        assert torch.allclose(linear.weight.product(rows), expected, **tolerance)
        linear.pack()
        linear.pack()
        assert torch.allclose(linear.weight.product(rows), expected, **tolerance)
    assert not list(linear.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_follows_a_product_with_a_bias_is_done_to_its_sum(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(16, 24).to(dtype), torch.randn(16).to(dtype)
    rows, other = ROWS.to(dtype), torch.randn(5, 16).to(dtype)
    expected = functional.linear(rows.float(), weight.float(), bias.float())
    packed = pack_weight(weight, bias)
    tolerance = {"rtol": 2e-2, "atol": 1e-4 if dtype is torch.float32 else 1e-1}
    with torch.inference_mode():
        assert torch.allclose(packed.silu(rows).float(), functional.silu(expected), **tolerance)
        assert torch.allclose(packed.times(rows, other).float(), expected * other.float(), **tolerance)
        assert torch.allclose(packed.plus(rows, other).float(), expected + other.float(), **tolerance)


def test_a_layer_is_loaded_once_all_of_its_parts_have_numbers() -> None:
    with torch.device("meta"):
        linear = Layers().column(4, 2, 2)
    linear.weights[0] = torch.nn.Parameter(torch.zeros(2, 4))
    assert not linear.is_loaded
    linear.weights[1] = torch.nn.Parameter(torch.zeros(2, 4))
    assert linear.is_loaded
