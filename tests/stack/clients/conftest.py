"""Clients for the stack."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import openai
import pytest

from testing.stack import MODEL

SECONDS = 60

Encode = Callable[..., list[int]]


@pytest.fixture(scope="session")
def encode(url: str) -> Encode:
    """The token ids of a text (`prompt=`) or of a conversation (`messages=`)."""

    def encode(**fields: Any) -> list[int]:
        body = json.dumps({"model": MODEL, **fields}).encode()
        request = Request(f"{url.removesuffix('/v1')}/tokenize", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=SECONDS) as response:
            tokens: list[int] = json.load(response)["tokens"]
        return tokens

    return encode


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=SECONDS) as client:
        yield client


@pytest.fixture
async def async_client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=SECONDS) as client:
        yield client
