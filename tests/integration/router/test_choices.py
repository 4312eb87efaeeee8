"""Several choices, stop strings, log probabilities and the canvas: what chat and completions share."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from testing.waiting import eventually
from testing.worker import FakeWorker, Script
from tests.integration.router.streams import events

TEXT = "Hello, wörld! 🌍"
PATH = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def texts_of(chunks: list[Any], choices: int) -> list[str]:
    texts = [""] * choices
    for chunk in chunks:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"].get("content", "")
    return texts


async def test_every_choice_begins_with_its_role_and_ends_with_its_reason(router: Any) -> None:
    chunks = [chunk["choices"][0] for chunk in await events(router, PATH, {**ASK, "n": 3})]
    for index in range(3):
        own = [chunk for chunk in chunks if chunk["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert [chunk["finish_reason"] for chunk in own] == [None] * (len(own) - 1) + ["stop"]


async def test_all_choices_come_whole_and_streamed(router: Any) -> None:
    reply = await router.openai.chat.completions.create(**ASK, n=3)
    assert [choice.message.content for choice in reply.choices] == [TEXT] * 3
    assert reply.usage.completion_tokens == 3 * 18
    assert texts_of(await events(router, PATH, {**ASK, "n": 3}), 3) == [TEXT] * 3


async def test_choices_beyond_the_slots_wait_for_them(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, max_running_requests=2, max_waiting_requests=1)
    worker.script.hang_after = 0
    asking = asyncio.create_task(router.post({**ASK, "n": 5}))
    await eventually(lambda: worker.running == 2)
    worker.go_on.set()
    _, reply = await asking
    assert len(reply["choices"]) == 5
    assert worker.most_running == 2


async def test_choices_that_follow_later_do_not_run_out_of_the_queues_time(
    worker: FakeWorker, start_router: Any
) -> None:
    router = await start_router(worker.address, max_running_requests=1, queue_timeout_seconds=0.1)
    worker.script.hang_after = 0
    asking = asyncio.create_task(router.post({**ASK, "n": 3}))
    await eventually(lambda: worker.running == 1)
    await asyncio.sleep(0.2)  # longer than whoever comes from outside would be left waiting
    worker.go_on.set()
    status, reply = await asking
    assert (status, len(reply["choices"])) == (200, 3)


async def test_a_large_reply_is_the_same_as_a_small_one(router: Any, worker: FakeWorker) -> None:
    worker.script = Script(tokens=[70] * 300, finish_reason=2)
    status, reply = await router.post({**ASK, "logprobs": True, "top_logprobs": 3, "max_tokens": 300})
    assert status == 200
    assert len(reply["choices"][0]["logprobs"]["content"]) == 300


async def test_one_choice_that_fails_ends_the_others(router: Any, worker: FakeWorker) -> None:
    worker.script.reject = (grpc.StatusCode.INTERNAL, "broken")
    status, body = await router.post({**ASK, "n": 3})
    assert (status, body["error"]["code"]) == (500, "internal_error")
    await eventually(lambda: worker.running == 0)
    assert router.services.queues.running == 0


async def test_a_client_that_leaves_ends_all_its_choices_those_in_the_queue_too(
    worker: FakeWorker, start_router: Any
) -> None:
    worker.script.hang_after = 1
    router = await start_router(worker.address, max_running_requests=2)
    asking = asyncio.create_task(router.post({**ASK, "n": 4, "stop": "never"}))
    await eventually(lambda: worker.running == 2)
    asking.cancel()
    await eventually(lambda: worker.running == 0)
    await eventually(lambda: (router.services.queues.running, router.services.queues.waiting) == (0, 0))
    assert len(worker.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_ends_the_reply_and_the_work_for_it(router: Any, worker: FakeWorker, stream: bool) -> None:
    worker.script.hang_after = len(worker.script.tokens) - 2  # beyond the stop string the worker would go on for ever
    body = {**ASK, "stop": ["nowhere", "wör"]}
    if stream:
        chunks = await events(router, PATH, body)
        assert texts_of(chunks, 1) == ["Hello, "]
        reason = chunks[-1]["choices"][0]["finish_reason"]
    else:
        _, reply = await router.post(body)
        assert reply["choices"][0]["message"]["content"] == "Hello, "
        reason = reply["choices"][0]["finish_reason"]
        assert 0 < reply["usage"]["completion_tokens"] < 18
        assert reply["usage"]["completion_tokens_details"]["forward_passes"] == reply["usage"]["completion_tokens"]
    assert reason == "stop"
    await eventually(lambda: worker.running == 0)


@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
@pytest.mark.parametrize(
    "fields",
    [{"stop": "wör"}, {"stop": "wör", "diffusing": True}, {"stop": "🌍 and more"}, {"stop": "He"}, {}],
    ids=str,
)
@pytest.mark.parametrize("logprobs", [False, True])
async def test_text_never_shares_an_event_with_the_finish_reason(
    router: Any, worker: FakeWorker, path: str, fields: dict[str, Any], logprobs: bool
) -> None:
    worker.script.order = [list(range(len(worker.script.tokens)))]  # all in one step
    asks: dict[str, Any] = ASK if path == PATH else {"model": "fake", "prompt": "hi"}
    asked = {"logprobs": True if path == PATH else 1} if logprobs else {}
    *before, end = [chunk["choices"][0] for chunk in await events(router, path, {**asks, **fields, **asked})]
    assert [choice["finish_reason"] for choice in before] == [None] * len(before)
    assert end["finish_reason"] == "stop"
    assert end["logprobs"] is None
    assert end.get("delta", {}) == {}
    assert end.get("text", "") == ""


async def test_no_part_of_a_stop_string_leaks(router: Any) -> None:
    chunks = await events(router, PATH, {**ASK, "stop": "wörld!"})
    assert "w" not in "".join(texts_of(chunks, 1))


async def test_what_only_looked_like_a_stop_string_comes_out_in_the_end(router: Any) -> None:
    assert texts_of(await events(router, PATH, {**ASK, "stop": "🌍 and more"}), 1) == [TEXT]


async def test_a_reply_that_fills_its_canvas_says_so(router: Any, worker: FakeWorker) -> None:
    worker.script.finish_reason = 2
    _, reply = await router.post(ASK)
    assert reply["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
async def test_each_readable_token_has_its_log_probability_once(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]], stream: bool
) -> None:
    tokens = ids("hello 🌍!")
    worker.script = Script(tokens=tokens, order=[[3, 1], [0, 2], list(range(4, len(tokens)))], finish_reason=2)
    body = {**ASK, "logprobs": True, "top_logprobs": 2}
    if stream:
        told = [one["choices"][0]["logprobs"] for one in await events(router, PATH, body)]
        content = [token for one in told if one for token in one["content"]]
    else:
        _, reply = await router.post(body)
        content = reply["choices"][0]["logprobs"]["content"]
    assert [one["logprob"] for one in content] == [-(position + 0.5) for position in range(len(tokens))]
    assert b"".join(bytes(one["bytes"]) for one in content).decode() == "hello 🌍!"
    assert all(len(one["top_logprobs"]) == 2 for one in content)
    assert all(one["top_logprobs"][0]["token"] == one["token"] for one in content)


async def test_tokens_of_a_stop_string_are_not_told(router: Any) -> None:
    _, reply = await router.post({**ASK, "logprobs": True, "stop": ", "})
    content = reply["choices"][0]["logprobs"]["content"]
    assert "".join(one["token"] for one in content) == "Hello"
    assert all(one["top_logprobs"] == [] for one in content)


async def test_a_probability_of_nothing_is_still_json(router: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    impossible = FakeWorker._committed

    def committed(self: FakeWorker, *args: Any) -> Any:
        token = impossible(self, *args)
        token.logprob = float("-inf")
        return token

    monkeypatch.setattr(FakeWorker, "_committed", committed)
    _, reply = await router.post({**ASK, "logprobs": True})
    assert reply["choices"][0]["logprobs"]["content"][0]["logprob"] == -9999.0


async def test_who_watches_sees_the_canvas_after_each_step_under_a_key_of_its_own(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    worker.script = Script(tokens=ids("abc"), order=[[2], [0], [1]], finish_reason=2)
    chunks = await events(router, PATH, {**ASK, "diffusing": True})
    canvases = [chunk["canvas"]["tokens"] for chunk in chunks]
    assert canvases[1:4] == [[None, None, "c"], ["a", None, "c"], ["a", "b", "c"]]
    assert [chunk["canvas"]["step"] for chunk in chunks[1:4]] == [1, 2, 3]
    assert chunks[1]["canvas"]["committed"] == [
        {"position": 2, "token": "c", "logprob": -2.5, "bytes": [99], "top_logprobs": []}
    ]
    assert [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[1:4]] == ["", "a", "bc"]


async def test_the_last_step_is_told_before_the_finish_reason_which_shows_its_canvas_once_more(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    worker.script = Script(tokens=ids("abc"), order=[[0], [1, 2]], finish_reason=2)
    *_, step, end = await events(router, PATH, {**ASK, "diffusing": True, "stop": "c"})
    assert step["choices"][0]["delta"] == {"content": "b"}
    assert [token["position"] for token in step["canvas"]["committed"]] == [1, 2]
    assert end["canvas"] == {**step["canvas"], "committed": []}


async def test_plain_clients_do_not_notice_the_canvas(router: Any) -> None:
    stream = await router.openai.chat.completions.create(**ASK, stream=True, extra_body={"diffusing": True})
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert all(chunk.model_extra["canvas"]["tokens"] for chunk in chunks[:-1])


async def test_biases_and_seeds_reach_the_worker(router: Any, worker: FakeWorker) -> None:
    await router.post({**ASK, "logit_bias": {"5": -100, "7": 1.5}, "seed": 11, "n": 2})
    assert [dict(request.options.logit_bias) for request in worker.requests] == [{5: -100.0, 7: 1.5}] * 2
    assert sorted(request.options.seed for request in worker.requests) == [11, 12]
