from collections.abc import Callable
from typing import Any

import pytest

from textdiffusion import __version__


async def ask(router: Any, path: str, **body: Any) -> tuple[int, Any]:
    async with router.http.post(f"{router.url}{path}", json={"model": "fake", **body}) as response:
        return response.status, await response.json()


async def test_a_text_becomes_the_tokens_that_a_completion_would_get(
    router: Any, ids: Callable[[str], list[int]]
) -> None:
    status, answer = await ask(router, "/tokenize", prompt="hello there")
    assert (status, answer) == (
        200,
        {"count": len(ids("hello there")), "max_model_len": 512, "tokens": ids("hello there")},
    )


async def test_a_conversation_becomes_the_tokens_that_a_chat_would_get(router: Any, worker: Any) -> None:
    messages = [{"role": "user", "content": "hi"}]
    _, answer = await ask(router, "/tokenize", messages=messages)
    await router.post({"model": "fake", "messages": messages})
    assert answer["tokens"] == list(worker.requests[0].prompt.ids)


@pytest.mark.parametrize("text", ["hello wörld 🌍", "", "a<|eot_id|>"])
async def test_tokens_become_the_text_that_they_came_from(router: Any, text: str) -> None:
    _, answer = await ask(router, "/tokenize", prompt=text)
    assert await ask(router, "/detokenize", tokens=answer["tokens"]) == (200, {"prompt": text})


async def test_special_tokens_are_spelled_out(router: Any, raw_tokenizer: Any) -> None:
    _, answer = await ask(router, "/detokenize", tokens=[raw_tokenizer.token_to_id("<|eot_id|>")])
    assert answer["prompt"] == "<|eot_id|>"


async def test_ids_beyond_the_vocabulary_are_refused(router: Any) -> None:
    status, answer = await ask(router, "/detokenize", tokens=[1000])
    assert (status, answer["error"]["param"]) == (400, "tokens")


async def test_an_unknown_model_is_not_found(router: Any) -> None:
    assert (await ask(router, "/tokenize", model="other", prompt="x"))[0] == 404


async def test_the_version_is_told(router: Any) -> None:
    assert await router.get("/version") == (200, {"version": __version__})
