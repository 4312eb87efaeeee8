"""The official client for Python: whoever leaves costs the worker nothing more."""

import asyncio
from contextlib import suppress
from typing import Any

import openai
import pytest

from testing.stack import MODEL, Stats
from testing.waiting import eventually

STEPS = 900  # minutes of work
LONG: Any = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Count to 7"}],
    "max_tokens": STEPS,
    "extra_body": {"steps": STEPS, "kv_cache": "none", "ignore_eos": True},
}
WATCHED: Any = {**LONG, "stream": True, "extra_body": {**LONG["extra_body"], "diffusing": True}}


async def assert_cancelled_since(before: int, stats: Stats) -> None:
    def cancelled() -> bool:
        now = stats()
        return now.cancelled_requests_total > before and now.running_requests == 0

    await eventually(cancelled)


async def test_closing_a_stream_cancels_the_request(client: openai.OpenAI, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    with client.chat.completions.create(**WATCHED) as stream:
        next(iter(stream))
        assert stats().running_requests == 1
    await assert_cancelled_since(before, stats)


async def test_leaving_an_asynchronous_stream_cancels_the_request(
    async_client: openai.AsyncOpenAI, stats: Stats
) -> None:
    before = stats().cancelled_requests_total
    async with await async_client.chat.completions.create(**WATCHED) as stream:
        async for _ in stream:
            break
    await assert_cancelled_since(before, stats)


async def test_a_timeout_of_the_client_cancels_the_request(client: openai.OpenAI, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=5).chat.completions.create(**LONG)
    await assert_cancelled_since(before, stats)


async def test_a_cancelled_task_cancels_the_request(async_client: openai.AsyncOpenAI, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    asking = asyncio.create_task(async_client.chat.completions.create(**LONG))
    await eventually(lambda: stats().running_requests == 1)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await assert_cancelled_since(before, stats)
