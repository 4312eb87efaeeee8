from typing import Any

import pytest

from worker.models.config import UnsupportedModelError
from worker.models.registry import FAMILIES, find_family


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_found_by_its_architecture_and_without_one_by_its_type(family: Any) -> None:
    assert find_family({"architectures": list(family.architectures)}) is family
    assert find_family({"architectures": list(family.architectures), "model_type": family.model_type}) is family
    assert find_family({"model_type": family.model_type}) is family
    assert find_family({"model_type": family.model_type, "architectures": []}) is family


@pytest.mark.parametrize(
    "architectures",
    [["LLaDAMoEModelLM"], ["LlamaForCausalLM"], ["LLaDAMoEModelLM", "LLaDAModelLM"], "LLaDAMoEModelLM", [7], {"a": 1}],
)
def test_an_unknown_architecture_is_refused_whatever_its_type_is_called(architectures: object) -> None:
    with pytest.raises(UnsupportedModelError, match=r"architectures is .* 'ILLaDAForCausalLM', 'LLaDAModelLM' are"):
        find_family({"architectures": architectures, "model_type": "llada"})


def test_a_type_that_contradicts_the_architecture_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="model_type is 'illada', which contradicts"):
        find_family({"architectures": ["LLaDAModelLM"], "model_type": "illada"})


@pytest.mark.parametrize("model_type", [None, "llama", 7, ["llada"]])
def test_an_unknown_type_is_refused_with_those_that_are_known(model_type: object) -> None:
    with pytest.raises(UnsupportedModelError, match=r"model_type is .* 'illada', 'llada' are supported"):
        find_family({"model_type": model_type})
