import re
from collections.abc import Callable, Sequence
from typing import Any

import openai
import pytest

from router.text.tokenizer import ChatTokenizer
from testing.worker import FakeWorker, Script
from tests.integration.router.streams import events
from textdiffusion.wire import CONTEXT_LENGTH

TEXT = "Hello, wörld! 🌍"
PATH = "/v1/completions"


async def test_the_openai_client_gets_a_whole_completion(router: Any) -> None:
    reply = await router.openai.completions.create(model="fake", prompt="Say")
    assert reply.id.startswith("cmpl-")
    assert reply.object == "text_completion"
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == (TEXT, "stop")
    assert reply.usage.prompt_tokens > 0


async def test_the_openai_client_gets_the_same_completion_streamed(router: Any) -> None:
    stream = await router.openai.completions.create(
        model="fake", prompt="Say", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


async def test_text_and_its_token_ids_are_the_same_prompt(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    for prompt in ("hello there", ids("hello there")):
        await router.openai.completions.create(model="fake", prompt=prompt)
    first, second = worker.requests
    assert list(first.prompt.ids) == list(second.prompt.ids) == ids("hello there")


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ("the " * 600, "prompt"),
        (["one", "the " * 600], "prompt[1]"),
        (["the " * 100_000], "prompt[0]"),
        (["one", "the " * 1000, "the " * 100_000], "prompt[2]"),
        ([[1], [1] * 512], "prompt[1]"),
        ([1] * 513, "prompt"),
    ],
)
async def test_the_prompt_that_is_too_long_is_named(router: Any, prompt: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await router.openai.completions.create(model="fake", prompt=prompt)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", param)
    assert f"{CONTEXT_LENGTH} 512 tokens. However, {param} " in refused.value.message


async def test_a_suffix_that_is_too_long_is_named(router: Any) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{CONTEXT_LENGTH} 512 tokens. However, suffix ") as refused:
        await router.openai.completions.create(model="fake", prompt="a", suffix="the " * 100_000)
    assert refused.value.param == "suffix"


@pytest.mark.parametrize(("prompt", "param"), [([[1], [2, 10**6]], "prompt[1]"), ([10**6], "prompt")])
async def test_a_token_that_the_model_does_not_have_is_named(router: Any, prompt: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{re.escape(param)} holds 1000000; ") as refused:
        await router.openai.completions.create(model="fake", prompt=prompt)
    assert refused.value.param == param


async def test_special_tokens_spelled_in_a_prompt_stay_text(
    router: Any, worker: FakeWorker, raw_tokenizer: Any
) -> None:
    await router.openai.completions.create(model="fake", prompt="a<|mdm_mask|>b", suffix="<|eot_id|>")
    (request,) = worker.requests
    special = {raw_tokenizer.token_to_id(token) for token in ("<|mdm_mask|>", "<|eot_id|>")}
    assert not special & {*request.prompt.ids, *request.suffix.ids}


async def test_several_prompts_get_n_choices_each_in_their_order(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    reply = await router.openai.completions.create(model="fake", prompt=["one", "two"], n=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    asked = sorted((request.request_id.partition("-")[2], list(request.prompt.ids)) for request in worker.requests)
    assert [prompt for _, prompt in asked] == [ids("one"), ids("one"), ids("two"), ids("two")]
    assert reply.usage.prompt_tokens == len(ids("one")) + len(ids("two"))
    assert reply.usage.completion_tokens == 4 * 18


async def test_texts_and_token_ids_keep_their_order_among_the_prompts(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    await router.openai.completions.create(model="fake", prompt=["one", ids("two"), "three"])
    asked = sorted((request.request_id, list(request.prompt.ids)) for request in worker.requests)
    assert [prompt for _, prompt in asked] == [ids("one"), ids("two"), ids("three")]


async def test_a_suffix_is_what_the_model_writes_towards(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    reply = await router.openai.completions.create(model="fake", prompt="hello", suffix=" you")
    (request,) = worker.requests
    assert list(request.suffix.ids) == ids(" you")
    assert reply.usage.prompt_tokens == len(ids("hello")) + len(ids(" you"))


@pytest.mark.parametrize("prompt", ["Say: ", None])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_echo_begins_the_reply_with_the_prompt(
    router: Any, ids: Callable[[str], list[int]], stream: bool, prompt: str | None
) -> None:
    body = {"model": "fake", "prompt": prompt or ids("Say: "), "echo": True, "n": 2}
    if stream:
        texts = ["", ""]
        for event in await events(router, PATH, body):
            texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    else:
        reply = await router.openai.completions.create(**body)
        texts = [choice.text for choice in reply.choices]
    assert texts == [f"Say: {TEXT}"] * 2


async def test_an_echo_of_token_ids_is_decoded_once_for_all_its_choices(
    router: Any, ids: Callable[[str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = ChatTokenizer.decode, list[list[int]]()

    def noted(self: ChatTokenizer, given: Sequence[int], *, special: bool = False) -> str:
        if special:  # the reply itself is decoded without
            decoded.append(list(given))
        return decode(self, given, special=special)

    monkeypatch.setattr(ChatTokenizer, "decode", noted)
    prompts = [ids("Say: the quick brown fox"), ids("Say: hello there")]
    await router.openai.completions.create(model="fake", prompt=prompts, echo=True, n=3)
    assert decoded == prompts


async def test_log_probabilities_come_in_the_form_of_completions(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    worker.script = Script(tokens=ids("hi 🌍"), finish_reason=2)
    reply = await router.openai.completions.create(model="fake", prompt="x", logprobs=2)
    told = reply.choices[0].logprobs
    assert reply.choices[0].text == "hi 🌍"
    assert [name for name in told.tokens if not name.startswith("bytes:")] == ["h", "i", " "]
    assert "bytes:\\xf0" in "".join(told.tokens)
    assert told.token_logprobs == [-(position + 0.5) for position in range(len(told.tokens))]
    assert told.text_offset[:3] == [0, 1, 2]
    assert all(len(alternatives) == 2 for alternatives in told.top_logprobs)
    assert all(name in alternatives for name, alternatives in zip(told.tokens, told.top_logprobs, strict=True))


async def test_each_token_is_among_its_alternatives_even_if_none_are_asked_for(router: Any) -> None:
    reply = await router.openai.completions.create(model="fake", prompt="x", logprobs=0)
    told = reply.choices[0].logprobs
    assert told.tokens
    assert told.top_logprobs == [{name: own} for name, own in zip(told.tokens, told.token_logprobs, strict=True)]


async def test_the_log_probabilities_of_a_stream_are_those_of_the_whole_reply(router: Any) -> None:
    body = {"model": "fake", "prompt": "x", "logprobs": 1}
    whole = (await router.openai.completions.create(**body)).choices[0].logprobs
    *texts, end = [event["choices"][0] for event in await events(router, PATH, body)]
    assert (end["text"], end["logprobs"], end["finish_reason"]) == ("", None, "stop")
    assert [name for choice in texts for name in choice["logprobs"]["tokens"]] == whole.tokens


async def test_a_prompt_is_not_scored(router: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="gives the tokens of a prompt no probabilities"):
        await router.openai.completions.create(model="fake", prompt="x", logprobs=0, echo=True)


@pytest.mark.parametrize("field", ["prompt", "suffix"])
async def test_a_text_too_long_for_the_model_is_refused_by_its_field(router: Any, field: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await router.openai.completions.create(**{"model": "fake", "prompt": "x", field: "hello " * 20_000})
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", field)


@pytest.mark.parametrize("beside", [[], ["text"]])
async def test_a_prompt_of_token_ids_must_not_hold_a_mask(router: Any, worker: FakeWorker, beside: list[str]) -> None:
    masked = [1, worker.info.mask_token_id, 2]
    with pytest.raises(openai.BadRequestError) as refused:
        await router.openai.completions.create(model="fake", prompt=[*beside, masked] if beside else masked)
    assert refused.value.param == ("prompt[1]" if beside else "prompt")
    assert f"must not hold the mask token, {masked[1]}." in refused.value.message
    assert not worker.requests
