from typing import Any

import openai
import pytest


async def test_the_openai_client_lists_the_models(router: Any) -> None:
    (model,) = (await router.openai.models.list()).data
    assert (model.id, model.object) == ("fake", "model")
    assert model.created > 1_700_000_000
    assert model.model_extra == {"max_model_len": 512}


async def test_the_openai_client_retrieves_one_model(router: Any) -> None:
    assert (await router.openai.models.retrieve("fake")).id == "fake"


async def test_an_unknown_model_is_not_found(router: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await router.openai.models.retrieve("organisation/other")
    assert caught.value.code == "model_not_found"
