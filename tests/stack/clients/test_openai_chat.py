"""The official client for Python: chats."""

import asyncio
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk

from testing.stack import MODEL
from tests.stack.clients.conftest import Encode

COUNT: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Count to 7"}]}
SPELL: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Spell river"}]}
GUESS: Any = {  # these words are tokens that the model cannot take apart, so it is sure of nothing
    "model": MODEL,
    "messages": [{"role": "user", "content": "Reverse one, two, three"}],
    "temperature": 1,
    "max_tokens": 24,
}


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def test_models_are_listed_and_looked_up(client: openai.OpenAI) -> None:
    (listed,) = client.models.list().data
    assert listed.id == MODEL
    assert client.models.retrieve(MODEL) == listed


def test_a_reply_comes_whole(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**COUNT)
    (choice,) = reply.choices
    assert reply.object == "chat.completion"
    assert reply.model == MODEL
    assert (choice.message.role, choice.message.content) == ("assistant", "1, 2, 3, 4, 5, 6, 7")
    assert choice.finish_reason == "stop"
    assert reply.usage
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


async def test_the_asynchronous_client_gets_many_replies_at_once(async_client: openai.AsyncOpenAI) -> None:
    replies = await asyncio.gather(*(async_client.chat.completions.create(**ask) for ask in (COUNT, SPELL) * 3))
    assert [reply.choices[0].message.content for reply in replies] == ["1, 2, 3, 4, 5, 6, 7", "r-i-v-e-r"] * 3


def test_a_streamed_reply_has_a_role_first_a_reason_last_and_the_usage_behind(client: openai.OpenAI) -> None:
    *chunks, last = client.chat.completions.create(**COUNT, stream=True, stream_options={"include_usage": True})
    assert text_of(chunks) == "1, 2, 3, 4, 5, 6, 7"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert {chunk.id for chunk in chunks} == {last.id}
    assert not any(chunk.usage for chunk in chunks)
    assert last.choices == []
    assert last.usage == client.chat.completions.create(**COUNT).usage


def test_at_a_stop_string_the_reason_comes_after_the_text_too(client: openai.OpenAI) -> None:
    *texts, end = client.chat.completions.create(**COUNT, stream=True, stop=", 5")
    assert text_of(texts) == "1, 2, 3, 4"
    assert not any(chunk.choices[0].finish_reason for chunk in texts)
    assert end.choices[0].finish_reason == "stop"
    assert end.choices[0].delta.model_dump(exclude_unset=True) == {}


def test_each_chunk_can_say_what_the_reply_has_cost_so_far(client: openai.OpenAI) -> None:
    # As GuideLLM asks, which measures servers.
    fields = {"max_completion_tokens": 16, "max_tokens": 16, "stop": None, "ignore_eos": True}
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(client.chat.completions.create(**SPELL, stream=True, stream_options=options, extra_body=fields))
    counts = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert len(counts) == len(chunks)
    assert counts == sorted(counts)
    assert counts[-1] == 16
    assert chunks[-1].usage
    assert chunks[-1].usage.prompt_tokens_details
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 0


async def test_the_asynchronous_client_streams(async_client: openai.AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(**COUNT, stream=True)
    assert text_of([chunk async for chunk in stream]) == "1, 2, 3, 4, 5, 6, 7"


def test_the_stream_helper_puts_the_reply_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**COUNT) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "1, 2, 3, 4, 5, 6, 7"


def test_the_request_s_own_id_comes_back(client: openai.OpenAI) -> None:
    headers = {"x-request-id": "seven-7"}
    raw = client.chat.completions.with_raw_response.create(**COUNT, extra_headers=headers)
    assert raw.headers["x-request-id"] == "seven-7"
    assert raw.parse()._request_id == "seven-7"
    with client.chat.completions.with_streaming_response.create(
        **COUNT, stream=True, extra_headers=headers
    ) as streamed:
        assert streamed.headers["x-request-id"] == "seven-7"
        assert streamed.headers["content-type"].startswith("text/event-stream")


def test_choice_number_i_is_the_reply_to_seed_plus_i(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**GUESS, n=4, seed=7)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    together = [choice.message.content for choice in reply.choices]
    alone = [client.chat.completions.create(**GUESS, seed=7 + i).choices[0].message.content for i in range(4)]
    assert together == alone
    assert len(set(together)) > 1


def test_streamed_choices_are_told_apart_by_their_index(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**GUESS, n=3, seed=7)
    chunks = list(client.chat.completions.create(**GUESS, n=3, seed=7, stream=True))
    assert [text_of(chunks, index) for index in range(3)] == [choice.message.content for choice in whole.choices]


def test_a_seed_gives_the_same_reply_again(client: openai.OpenAI) -> None:
    def reply(seed: int) -> object:
        return client.chat.completions.create(**GUESS, seed=seed).choices[0].message.content

    first = [reply(seed) for seed in range(4)]
    assert [reply(seed) for seed in range(4)] == first
    assert len(set(first)) > 1


def test_a_stop_string_ends_the_reply_whole_or_streamed(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**COUNT, stop=["5", ", 4"])
    assert reply.choices[0].message.content == "1, 2, 3"
    assert reply.choices[0].finish_reason == "stop"
    assert text_of(list(client.chat.completions.create(**COUNT, stop=", 4", stream=True))) == "1, 2, 3"


def test_max_completion_tokens_cuts_the_reply_off(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**SPELL, max_completion_tokens=3)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("r-i", "length")


def test_log_probabilities_are_typed_objects_token_by_token(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(**SPELL, logprobs=True, top_logprobs=3)
    assert reply.choices[0].logprobs
    tokens = reply.choices[0].logprobs.content or []
    assert [token.token for token in tokens] == list("r-i-v-e-r")
    for token in tokens:
        assert token.bytes == list(token.token.encode())
        assert -0.1 < token.logprob <= 0
        assert token.top_logprobs[0].token == token.token
        assert token.top_logprobs == sorted(token.top_logprobs, key=lambda one: -one.logprob)
        assert len(token.top_logprobs) == 3


def test_streamed_log_probabilities_are_those_of_the_whole_reply(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**SPELL, logprobs=True).choices[0].logprobs
    chunks = list(client.chat.completions.create(**SPELL, logprobs=True, stream=True))
    streamed = [chunk.choices[0].logprobs for chunk in chunks]
    tokens = [token for logprobs in streamed if logprobs for token in logprobs.content or []]
    assert whole
    assert [token.token for token in tokens] == [token.token for token in whole.content or []]


def test_a_bias_keeps_a_token_out(client: openai.OpenAI, encode: Encode) -> None:
    (letter,) = encode(prompt="v", add_special_tokens=False)
    reply = client.chat.completions.create(**SPELL, logit_bias={str(letter): -100})
    assert reply.choices[0].message.content
    assert "v" not in reply.choices[0].message.content


def test_diffusion_options_go_into_the_extra_body(client: openai.OpenAI) -> None:
    def passes(**options: object) -> int:
        usage: Any = client.chat.completions.create(**COUNT, max_tokens=32, extra_body=options).usage
        passes: int = usage.completion_tokens_details.forward_passes
        return passes

    assert passes(threshold=0) == 1
    assert passes(steps=16) == 16
    assert passes(steps=16, block_length=16, kv_cache="prefix", remasking="margin") == 16
    assert passes(threshold=0, max_parallel_tokens=4) == 8


def test_watching_the_canvas_an_ordinary_client_reads_an_ordinary_stream(client: openai.OpenAI) -> None:
    options = {"diffusing": True, "steps": 16}
    chunks = list(client.chat.completions.create(**COUNT, max_tokens=32, stream=True, extra_body=options))
    assert text_of(chunks) == "1, 2, 3, 4, 5, 6, 7"
    canvases = [chunk.model_extra["canvas"] for chunk in chunks if chunk.model_extra]
    assert len(canvases) == len(chunks)
    assert [canvas["step"] for canvas in canvases] == sorted(canvas["step"] for canvas in canvases)
    masked = [canvas["tokens"].count(None) for canvas in canvases]
    assert masked == sorted(masked, reverse=True)
    assert masked[0] == 30
    assert "".join(canvases[-1]["tokens"]).startswith("1, 2, 3, 4, 5, 6, 7<|eot_id|>")
