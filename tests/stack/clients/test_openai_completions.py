"""The official client for Python: completions."""

from typing import Any

import openai
import pytest
from openai.types import Completion

from testing.stack import MODEL
from tests.stack.clients.conftest import Encode

UNSURE: Any = {"model": MODEL, "prompt": "Count to 7", "temperature": 1, "max_tokens": 12}


@pytest.fixture(scope="session")
def count(encode: Encode) -> list[int]:
    """A prompt of token ids; the demo model goes on with nothing but conversations."""
    return encode(messages=[{"role": "user", "content": "Count to 7"}])


@pytest.fixture(scope="session")
def spell(encode: Encode) -> list[int]:
    return encode(messages=[{"role": "user", "content": "Spell river"}])


def texts_of(reply: Completion) -> list[str]:
    return [choice.text for choice in sorted(reply.choices, key=lambda choice: choice.index)]


def text_of(chunks: list[Completion]) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices)


def test_a_prompt_of_token_ids_is_completed(client: openai.OpenAI, count: list[int]) -> None:
    reply = client.completions.create(model=MODEL, prompt=count)
    assert reply.object == "text_completion"
    assert texts_of(reply) == ["1, 2, 3, 4, 5, 6, 7"]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage
    assert reply.usage.prompt_tokens == len(count)


def test_several_prompts_get_n_choices_each_in_their_order(
    client: openai.OpenAI, count: list[int], spell: list[int]
) -> None:
    reply = client.completions.create(model=MODEL, prompt=[count, spell], n=2)
    assert texts_of(reply) == ["1, 2, 3, 4, 5, 6, 7"] * 2 + ["r-i-v-e-r"] * 2
    assert reply.usage
    assert reply.usage.prompt_tokens == len(count) + len(spell)


def test_prompts_may_be_texts_and_are_echoed(client: openai.OpenAI) -> None:
    prompts = ["Count to 7", "Grüße, 世界"]
    reply = client.completions.create(model=MODEL, prompt=prompts, echo=True, max_tokens=4)
    for prompt, text in zip(prompts, texts_of(reply), strict=True):
        assert text.startswith(prompt)


async def test_the_asynchronous_client_streams_what_it_gets_whole(
    async_client: openai.AsyncOpenAI, count: list[int]
) -> None:
    whole = await async_client.completions.create(model=MODEL, prompt=count)
    stream = await async_client.completions.create(
        model=MODEL, prompt=count, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert text_of(chunks) == whole.choices[0].text == "1, 2, 3, 4, 5, 6, 7"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage == whole.usage


@pytest.mark.parametrize(
    ("suffix", "length", "filled"), [(", 5, 6, 7", 10, "1, 2, 3, 4"), (", 4, 5, 6, 7", 7, "1, 2, 3")]
)
def test_what_stands_between_prompt_and_suffix_is_filled_in(
    client: openai.OpenAI, count: list[int], suffix: str, length: int, filled: str
) -> None:
    reply = client.completions.create(model=MODEL, prompt=count, suffix=suffix, max_tokens=length)
    assert texts_of(reply) == [filled]
    chunks = client.completions.create(model=MODEL, prompt=count, suffix=suffix, max_tokens=length, stream=True)
    assert text_of(list(chunks)) == filled


def test_a_stop_string_ends_the_reply(client: openai.OpenAI, count: list[int]) -> None:
    reply = client.completions.create(model=MODEL, prompt=count, stop=", 4")
    assert (texts_of(reply), reply.choices[0].finish_reason) == (["1, 2, 3"], "stop")


def test_log_probabilities_are_lists_of_one_length(client: openai.OpenAI, spell: list[int]) -> None:
    choice = client.completions.create(model=MODEL, prompt=spell, logprobs=2).choices[0]
    assert choice.logprobs
    assert choice.logprobs.tokens == list("r-i-v-e-r")
    assert choice.logprobs.text_offset == list(range(9))
    assert all(-0.1 < logprob <= 0 for logprob in choice.logprobs.token_logprobs or [0.5])
    for token, likeliest in zip("r-i-v-e-r", choice.logprobs.top_logprobs or [], strict=True):
        assert len(likeliest) == 2  # the token is one of them
        assert max(likeliest, key=lambda name: likeliest[name]) == token


def test_without_likely_tokens_each_token_has_its_own_log_probability(client: openai.OpenAI, spell: list[int]) -> None:
    told = client.completions.create(model=MODEL, prompt=spell, logprobs=0).choices[0].logprobs
    assert told
    assert told.top_logprobs == [
        {token: logprob} for token, logprob in zip(told.tokens or [], told.token_logprobs or [], strict=True)
    ]


def test_a_seed_gives_the_same_reply_again(client: openai.OpenAI) -> None:
    first = texts_of(client.completions.create(**UNSURE, n=4, seed=3))
    assert texts_of(client.completions.create(**UNSURE, n=4, seed=3)) == first
    assert len(set(first)) > 1


def test_a_bias_keeps_tokens_out(client: openai.OpenAI, encode: Encode, spell: list[int]) -> None:
    (letter,) = encode(prompt="v", add_special_tokens=False)
    (text,) = texts_of(client.completions.create(model=MODEL, prompt=spell, logit_bias={str(letter): -100}))
    assert text
    assert "v" not in text


def test_diffusion_options_go_into_the_extra_body(client: openai.OpenAI, count: list[int]) -> None:
    def passes(**options: object) -> int:
        usage: Any = client.completions.create(model=MODEL, prompt=count, max_tokens=32, extra_body=options).usage
        passes: int = usage.completion_tokens_details.forward_passes
        return passes

    assert passes(threshold=0) == 1
    assert passes(steps=16) == 16


def test_the_canvas_comes_beside_the_text(client: openai.OpenAI, count: list[int]) -> None:
    options = {"diffusing": True, "steps": 16}
    chunks = list(client.completions.create(model=MODEL, prompt=count, max_tokens=32, stream=True, extra_body=options))
    assert text_of(chunks) == "1, 2, 3, 4, 5, 6, 7"
    canvases = [chunk.model_extra["canvas"] for chunk in chunks if chunk.model_extra]
    assert len(canvases) == len(chunks)
    assert canvases[0]["tokens"].count(None) == 30
    assert canvases[-1]["tokens"].count(None) == 0
