"""The official client for Python: what it raises, and what it raises it about."""

import socket
from collections.abc import Callable
from typing import Any

import openai
import pydantic
import pytest

from testing.stack import MODEL

ASK: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Spell river"}]}
TOOL: Any = {"type": "function", "function": {"name": "spell", "parameters": {"type": "object", "properties": {}}}}

Call = Callable[[openai.OpenAI], object]


class Spelling(pydantic.BaseModel):
    letters: list[str]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"n": 1000}, "n", "invalid_value"),
        ({"extra_body": {"colour": "red"}}, "colour", "invalid_value"),
        ({"max_tokens": 100_000}, "max_tokens", "context_length_exceeded"),
        ({"tools": [TOOL]}, "tools", "unsupported_parameter"),
        ({"frequency_penalty": 1}, "frequency_penalty", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ],
)
def test_a_bad_request_says_which_field_and_why(
    client: openai.OpenAI, changes: dict[str, Any], param: str, code: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{**ASK, **changes}, stream=stream)
    error = refused.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert param in error.message
    assert error.request_id


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (lambda client: client.chat.completions.parse(**ASK, response_format=Spelling), "response_format"),
        (lambda client: client.chat.completions.parse(**ASK, tools=[openai.pydantic_function_tool(Spelling)]), "tools"),
        (
            lambda client: client.chat.completions.stream(**ASK, response_format=Spelling).__enter__(),
            "response_format",
        ),
    ],
)
def test_helpers_for_what_this_server_lacks_are_refused_in_plain_words(
    client: openai.OpenAI, call: Call, param: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{param} is not supported by this server") as refused:
        call(client)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda client: client.chat.completions.create(**{**ASK, "model": "gpt-9"}), "model_not_found"),
        (lambda client: client.completions.create(model="gpt-9", prompt="x"), "model_not_found"),
        (lambda client: client.models.retrieve("gpt-9"), "model_not_found"),
        (lambda client: client.embeddings.create(model=MODEL, input="x"), None),
        (lambda client: client.responses.create(model=MODEL, input="x"), None),
    ],
)
def test_what_is_not_there_is_not_found(client: openai.OpenAI, call: Call, code: str | None) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        call(client)
    assert refused.value.code == code


def test_echo_with_log_probabilities_is_refused_with_the_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="gives the tokens of a prompt no probabilities") as refused:
        client.completions.create(model=MODEL, prompt="x", echo=True, logprobs=1)
    assert refused.value.param == "echo"


def test_after_an_error_the_same_connection_still_works(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**{**ASK, "n": 0})
    assert client.chat.completions.create(**ASK).choices[0].message.content == "r-i-v-e-r"


def test_where_no_server_is_there_is_no_connection(client: openai.OpenAI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(openai.APIConnectionError):
        client.with_options(base_url=f"http://127.0.0.1:{port}/v1").chat.completions.create(**ASK)
