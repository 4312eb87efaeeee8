import pytest
import torch
from torch import Tensor

from worker.layers.rotary import RotaryConfig, rotation

POSITIONS = torch.tensor([0, 1, 7, 500])


def heads(dtype: torch.dtype) -> Tensor:
    return torch.randn(4, 2, 16, generator=torch.Generator().manual_seed(0)).to(dtype)


def by_definition(heads: Tensor, rotated: int, theta: float) -> Tensor:
    """Rotate each pair by its angle, in float64."""
    turned = heads.double().clone()
    for row, position in enumerate(POSITIONS.tolist()):
        for number in range(rotated // 2):
            angle = torch.tensor(position * theta ** (-2 * number / rotated)).double()
            first, second = heads[row, :, number].double(), heads[row, :, number + rotated // 2].double()
            turned[row, :, number] = first * angle.cos() - second * angle.sin()
            turned[row, :, number + rotated // 2] = second * angle.cos() + first * angle.sin()
    return turned


@pytest.mark.parametrize("precision", ["float32", "model"])
@pytest.mark.parametrize("rotated", [16, 8])
def test_pairs_are_rotated_by_their_angles_and_the_rest_of_a_head_is_left(precision: str, rotated: int) -> None:
    config = RotaryConfig(rotated=rotated, theta=10_000.0, precision=precision)
    turned = rotation(POSITIONS, config, torch.float32)(heads(torch.float32))
    assert torch.allclose(turned.double(), by_definition(heads(torch.float32), rotated, 10_000.0), atol=1e-4)
    assert torch.equal(turned[..., rotated:], heads(torch.float32)[..., rotated:])


def test_in_the_model_s_dtype_every_product_and_sum_is_rounded() -> None:
    given = heads(torch.bfloat16)
    turned = rotation(POSITIONS, RotaryConfig(rotated=16, theta=10_000.0), torch.bfloat16)(given)
    frequencies = 1.0 / 10_000.0 ** (torch.arange(0, 16, 2).float() / 16)
    angles = torch.outer(POSITIONS.float(), frequencies)[:, None]
    cosines, sines = angles.cos().bfloat16(), angles.sin().bfloat16()
    first, second = given.chunk(2, dim=-1)
    expected = torch.cat((first * cosines + -second * sines, second * cosines + first * sines), dim=-1)
    assert torch.equal(turned, expected)


def test_in_float32_nothing_is_rounded_before_the_end() -> None:
    given = heads(torch.bfloat16)
    config = RotaryConfig(rotated=16, theta=10_000.0, precision="float32", rounded=False)
    turned = rotation(POSITIONS, config, torch.bfloat16)(given)
    assert torch.equal(turned, by_definition(given, 16, 10_000.0).float().bfloat16())
