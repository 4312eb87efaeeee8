from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from testing.worker import FakeWorker, running
from textdiffusion import __version__
from textdiffusion.fingerprint import tokenizer_fingerprint
from textdiffusion.wire import CONTEXT_LENGTH

LONG = "the " * 100_000


async def ask(router: Any, path: str, **body: Any) -> tuple[int, Any]:
    async with router.http.post(f"{router.url}{path}", json={"model": "fake", **body}) as response:
        return response.status, await response.json()


async def test_a_text_becomes_the_tokens_that_a_completion_would_get(
    router: Any, ids: Callable[[str], list[int]]
) -> None:
    status, answer = await ask(router, "/tokenize", prompt="hello there")
    assert (status, answer) == (
        200,
        {
            "count": len(ids("hello there")),
            "max_model_len": 512,
            "tokens": ids("hello there"),
            "token_strs": None,
        },
    )


async def test_a_conversation_becomes_the_tokens_that_a_chat_would_get(router: Any, worker: Any) -> None:
    messages = [{"role": "user", "content": "hi"}]
    _, answer = await ask(router, "/tokenize", messages=messages)
    await router.post({"model": "fake", "messages": messages})
    assert answer["tokens"] == list(worker.requests[0].prompt.ids)


async def test_the_only_model_need_not_be_named(router: Any, ids: Callable[[str], list[int]]) -> None:
    _, answer = await ask(router, "/tokenize", model=None, prompt="hello there")
    assert answer["tokens"] == ids("hello there")
    assert await ask(router, "/detokenize", model=None, tokens=answer["tokens"]) == (200, {"prompt": "hello there"})


async def test_tokens_are_told_as_text_too_when_asked_for(router: Any) -> None:
    _, answer = await ask(router, "/tokenize", prompt="the<|eot_id|>", return_token_strs=True)
    assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert "".join(answer["token_strs"]) == "the<|eot_id|>"


async def test_a_last_message_is_continued_in_a_chat_as_in_tokenizing(
    router: Any, worker: Any, ids: Callable[[str], list[int]]
) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Once <|eot_id|> upon"}]
    end = {"continue_final_message": True, "add_generation_prompt": False}
    status, answer = await ask(router, "/tokenize", messages=messages, **end)
    assert status == 200
    worker.script.tokens = ids(" the fox<|endoftext|>")
    _, reply = await router.post({"model": "fake", "messages": messages, **end})
    assert reply["choices"][0]["message"]["content"] == " the fox"
    assert answer["tokens"] == list(worker.requests[0].prompt.ids)
    prompt = (await ask(router, "/detokenize", tokens=answer["tokens"]))[1]["prompt"]
    assert prompt.endswith("<|start_header_id|>assistant<|end_header_id|>\n\nOnce <|eot_id|> upon")


async def test_a_reply_that_continues_a_message_keeps_the_blank_that_it_begins_with(
    tmp_path: Path, make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    words = Tokenizer(models.WordLevel({"▁hi": 0, "▁Once": 1, "▁upon": 2, "<eos>": 3}))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    words.add_special_tokens(["<eos>"])
    words.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}<eos>{% endfor %}")
    worker = make_worker(
        tokenizer=str(tmp_path), tokenizer_fingerprint=tokenizer_fingerprint(tmp_path), eos_token_ids=[3]
    )
    worker.script.tokens = [2, 3]
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Once"}]
    async with running(worker):
        router = await start_router(worker.address)
        _, reply = await router.post({"model": "fake", "messages": messages, "continue_final_message": True})
        assert (list(worker.requests[0].prompt.ids), reply["choices"][0]["message"]["content"]) == ([0, 3, 1], " upon")


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


@pytest.mark.parametrize("given", [{"prompt": LONG}, {"messages": [{"role": "user", "content": LONG}]}])
async def test_what_is_too_long_for_the_model_is_refused_as_in_a_request_for_text(
    router: Any, given: dict[str, Any]
) -> None:
    status, answer = await ask(router, "/tokenize", **given)
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert answer["error"]["message"].startswith(f"{CONTEXT_LENGTH} 512 tokens. However, {answer['error']['param']} ")


async def test_an_unknown_model_is_not_found(router: Any) -> None:
    assert (await ask(router, "/tokenize", model="other", prompt="x"))[0] == 404


async def test_the_version_is_told(router: Any) -> None:
    assert await router.get("/version") == (200, {"version": __version__})
