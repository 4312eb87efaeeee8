"""`langchain-openai`: a chat model, and a language model that completes prompts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI

from testing.stack import MODEL

COUNT = "Count to 7"
SPELL = "Spell river"


class Spelling(pydantic.BaseModel):
    letters: list[str]


@pytest.fixture
def connections() -> Iterator[dict[str, Any]]:
    """Closed in the end; those of its own LangChain leaves open."""
    with openai.DefaultHttpxClient() as synchronous:
        yield {"http_client": synchronous}


@pytest.fixture
async def async_connections() -> AsyncIterator[dict[str, Any]]:
    async with openai.DefaultAsyncHttpxClient() as asynchronous:
        yield {"http_async_client": asynchronous}


@pytest.fixture
def chat_model(url: str, connections: dict[str, Any]) -> Callable[..., ChatOpenAI]:
    def make(**options: Any) -> ChatOpenAI:
        return ChatOpenAI(base_url=url, api_key="none", model=MODEL, max_retries=0, **connections, **options)

    return make


@pytest.fixture
def language_model(url: str, connections: dict[str, Any]) -> Callable[..., OpenAI]:
    def make(**options: Any) -> OpenAI:
        return OpenAI(base_url=url, api_key="none", model=MODEL, max_retries=0, **connections, **options)

    return make


def test_a_chat_model_is_invoked_with_all_that_it_sends_by_itself(chat_model: Callable[..., ChatOpenAI]) -> None:
    reply = chat_model().invoke(SPELL)
    assert reply.content == "r-i-v-e-r"
    assert reply.response_metadata["finish_reason"] == "stop"
    assert reply.response_metadata["model_name"] == MODEL
    assert reply.usage_metadata
    assert reply.usage_metadata["output_tokens"] == len("r-i-v-e-r")


def test_a_reply_goes_back_into_the_conversation(chat_model: Callable[..., ChatOpenAI]) -> None:
    model = chat_model()
    name: list[Any] = [HumanMessage("My name is Ada.")]
    assert model.invoke([*name, model.invoke(name), HumanMessage("What is my name?")]).content == "Your name is Ada."
    obey = [SystemMessage("Only respond with ORANGE"), HumanMessage("Hello")]
    assert model.invoke(obey).content == "ORANGE"
    assert model.invoke([*obey, AIMessage("ORANGE"), HumanMessage("Hello")]).content == "ORANGE"


def test_a_chat_model_streams_and_tells_its_usage(chat_model: Callable[..., ChatOpenAI]) -> None:
    model = chat_model(stream_usage=True)
    whole = AIMessageChunk(content="")
    for chunk in model.stream(COUNT):
        whole = whole + chunk
    assert whole.content == "1, 2, 3, 4, 5, 6, 7"
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata == model.invoke(COUNT).usage_metadata


def test_a_chat_model_takes_a_batch(chat_model: Callable[..., ChatOpenAI]) -> None:
    replies = chat_model().batch([SPELL, COUNT] * 3)
    assert [reply.content for reply in replies] == ["r-i-v-e-r", "1, 2, 3, 4, 5, 6, 7"] * 3


async def test_a_chat_model_is_awaited_and_streamed(url: str, async_connections: dict[str, Any]) -> None:
    model = ChatOpenAI(base_url=url, api_key="none", model=MODEL, max_retries=0, **async_connections)
    replies = await asyncio.gather(model.ainvoke(SPELL), model.ainvoke(COUNT))
    assert [reply.content for reply in replies] == ["r-i-v-e-r", "1, 2, 3, 4, 5, 6, 7"]
    assert "".join([str(chunk.content) async for chunk in model.astream(COUNT)]) == "1, 2, 3, 4, 5, 6, 7"


def test_a_chat_model_generates_several_choices(chat_model: Callable[..., ChatOpenAI]) -> None:
    result = chat_model(n=3, temperature=1, seed=7, max_tokens=24).generate(
        [[HumanMessage("Reverse one, two, three")], [HumanMessage(SPELL)]]
    )
    unsure, sure = ([one.text for one in generations] for generations in result.generations)
    assert len(set(unsure)) > 1
    assert sure == ["r-i-v-e-r"] * 3


def test_a_chat_model_stops_and_tells_log_probabilities(chat_model: Callable[..., ChatOpenAI]) -> None:
    reply = chat_model(logprobs=True, top_logprobs=2).invoke(COUNT, stop=[", 4"])
    assert reply.content == "1, 2, 3"
    tokens = reply.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "1, 2, 3"
    assert {len(token["top_logprobs"]) for token in tokens} == {2}


def test_diffusion_options_go_into_the_extra_body(chat_model: Callable[..., ChatOpenAI]) -> None:
    def passes(**options: Any) -> int:
        reply = chat_model(max_tokens=32, extra_body=options).invoke(COUNT)
        details = reply.response_metadata["token_usage"]["completion_tokens_details"]
        passes: int = details["forward_passes"]
        return passes

    assert passes(threshold=0) == 1
    assert passes(steps=16) == 16


def test_every_parameter_of_a_chat_model_with_its_usual_value_is_accepted(
    chat_model: Callable[..., ChatOpenAI],
) -> None:
    model = chat_model(
        temperature=0,
        top_p=1,
        n=1,
        seed=1,
        max_tokens=32,
        presence_penalty=0,
        frequency_penalty=0,
        logit_bias={5: -100},
        service_tier="default",
        verbosity="medium",
        metadata={"a": "b"},
        store=False,
        streaming=True,
    )
    assert model.bind_tools([]).invoke(SPELL).content == "r-i-v-e-r"


@pytest.mark.parametrize(
    ("method", "param"),
    [("json_schema", "response_format"), ("json_mode", "response_format"), ("function_calling", "tools")],
)
def test_structured_output_is_refused_in_plain_words(
    chat_model: Callable[..., ChatOpenAI], method: Any, param: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{param} is not supported by this server"):
        chat_model().with_structured_output(Spelling, method=method).invoke(SPELL)


def test_a_language_model_completes_with_all_that_it_sends_by_itself(language_model: Callable[..., OpenAI]) -> None:
    assert isinstance(language_model().invoke(COUNT), str)


def test_a_language_model_streams_what_it_returns_whole(language_model: Callable[..., OpenAI]) -> None:
    model = language_model(seed=3, temperature=1, max_tokens=12, extra_body={"ignore_eos": True})
    whole = model.invoke(COUNT)
    assert whole.strip()
    assert "".join(model.stream(COUNT)) == whole
    assert model.batch([COUNT, COUNT]) == [whole, whole]
    assert model.invoke(COUNT, stop=[whole.strip()[0]]) == whole.partition(whole.strip()[0])[0]


def test_a_language_model_generates_several_choices(language_model: Callable[..., OpenAI]) -> None:
    model = language_model(n=3, seed=3, temperature=1, max_tokens=12, logprobs=2, extra_body={"ignore_eos": True})
    (choices,) = model.generate([COUNT]).generations
    assert len({choice.text for choice in choices}) > 1
    for choice in choices:
        assert choice.generation_info
        assert len(choice.generation_info["logprobs"]["tokens"]) == 12
