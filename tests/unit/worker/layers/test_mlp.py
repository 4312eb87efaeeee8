import pytest
import torch
from torch import Tensor
from torch.nn import functional

from worker.layers.linear import Layers, Linear
from worker.layers.mlp import Experts, GatedMlp

COUNT, HIDDEN, INTERMEDIATE = 6, 16, 24


@pytest.fixture
def experts() -> Experts:
    torch.manual_seed(0)
    return Experts(COUNT, HIDDEN, INTERMEDIATE, Layers())


def routed(rows: int, few: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, and for each some experts and how much they count; the last expert is chosen by none."""
    random = torch.Generator().manual_seed(1)
    scores = torch.randn(rows, COUNT - 1, generator=random).softmax(-1)
    weights, chosen = scores.topk(few)
    return torch.randn(rows, HIDDEN, generator=random), chosen, weights


def by_definition(experts: Experts, rows: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Row by row and expert by expert."""
    made = torch.zeros_like(rows)
    for row, (own, shares) in enumerate(zip(chosen.tolist(), weights.tolist(), strict=True)):
        for number, share in zip(own, shares, strict=True):
            gate, up, down = (getattr(experts.experts[number], name).weights[0] for name in ("gate", "up", "down"))
            made[row] += share * (down @ (functional.silu(gate @ rows[row]) * (up @ rows[row])))
    return made


@pytest.mark.parametrize("few", [1, 2, 5])
@pytest.mark.parametrize("packed", [False, True])
@torch.inference_mode()
def test_each_row_gets_the_weighted_sum_of_its_experts(experts: Experts, few: int, packed: bool) -> None:
    rows, chosen, weights = routed(9, few)
    expected = by_definition(experts, rows, chosen, weights)
    if packed:
        for module in experts.modules():
            if isinstance(module, Linear):
                module.pack()
    assert torch.allclose(experts(rows, chosen, weights), expected, atol=1e-5)


@torch.inference_mode()
def test_what_a_row_gets_does_not_depend_on_the_others(experts: Experts) -> None:
    rows, chosen, weights = routed(40, 2)
    experts.bfloat16()
    for module in experts.modules():
        if isinstance(module, Linear):
            module.pack()
    whole = experts(rows.bfloat16(), chosen, weights.bfloat16())
    for some in (slice(3, 20), slice(0, 40, 7), slice(39, 40)):
        assert torch.equal(experts(rows[some].bfloat16(), chosen[some], weights[some].bfloat16()), whole[some])


@torch.inference_mode()
def test_a_gated_mlp_can_add_its_result_to_what_there_is() -> None:
    torch.manual_seed(0)
    mlp = GatedMlp(HIDDEN, INTERMEDIATE, Layers())
    rows, summand = torch.randn(2, 5, HIDDEN)
    assert torch.allclose(mlp.plus(rows, summand), mlp(rows) + summand, atol=1e-6)
