import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from router.http.sse import EventStream
from testing.waiting import eventually
from testing.worker import FakeWorker, Script, running
from tests.integration.router.streams import events as streamed
from textdiffusion.v1 import textdiffusion_pb2 as pb

TEXT = "Hello, wörld! 🌍"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


async def events(router: Any, **fields: Any) -> list[Any]:
    return await streamed(router, "/v1/chat/completions", {**ASK, **fields})


async def test_the_openai_client_gets_a_whole_reply(router: Any) -> None:
    reply = await router.openai.chat.completions.create(model="fake", messages=ASK["messages"])
    assert reply.choices[0].message.content == TEXT
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.id.startswith("chatcmpl-")
    assert reply.object == "chat.completion"
    assert reply.system_fingerprint == "fp_0123456789"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.completion_tokens_details.model_extra == {"forward_passes": 3, "committed_tokens": 20}


async def test_the_openai_client_gets_the_same_reply_streamed(router: Any) -> None:
    stream = await router.openai.chat.completions.create(
        model="fake", messages=ASK["messages"], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


async def test_chunks_follow_openai_to_the_letter(router: Any) -> None:
    first, *_, last = await events(router)
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert first["object"] == "chat.completion.chunk"
    assert "usage" not in first


async def test_with_include_usage_every_chunk_but_the_last_says_null(router: Any) -> None:
    *others, last = await events(router, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in others)
    assert last["usage"]["total_tokens"] > 0


async def test_with_continuous_usage_every_chunk_says_what_the_reply_has_cost_so_far(router: Any) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = await events(router, stream_options=options, n=2)
    usages = [chunk["usage"] for chunk in chunks]
    counted = [usage["completion_tokens"] for usage in usages]
    assert counted[0] <= 1  # with the first role
    assert counted == sorted(counted)
    assert counted[-1] == 2 * 18
    assert len({usage["prompt_tokens"] for usage in usages}) == 1
    assert all(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] for usage in usages)
    assert chunks[-1]["choices"] == []


async def test_continuous_usage_alone_asks_for_nothing(router: Any) -> None:
    chunks = await events(router, stream_options={"continuous_usage_stats": True})
    assert not any("usage" in chunk for chunk in chunks)
    assert chunks[-1]["choices"]


async def test_a_stream_has_the_headers_that_proxies_need(router: Any) -> None:
    body = {**ASK, "stream": True}
    async with router.http.post(f"{router.url}/v1/chat/completions", json=body) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["x-request-id"]


async def test_tokens_committed_out_of_order_are_read_in_order(router: Any, worker: FakeWorker) -> None:
    backwards = list(range(len(worker.script.tokens)))[::-1]
    worker.script.order = [[position] for position in backwards]
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in await events(router)]
    assert [piece for piece in pieces if piece] == [TEXT]


async def test_no_piece_of_a_stream_ends_inside_a_character(router: Any) -> None:
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in await events(router)]
    assert len(pieces) > 3
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


async def test_with_ignore_eos_the_whole_canvas_is_the_reply(
    router: Any, worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    worker.script = Script(tokens=ids("one<|eot_id|>two"), finish_reason=pb.FINISH_REASON_LENGTH)
    chunks = await events(router, ignore_eos=True)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "onetwo"
    status, whole = await router.post({**ASK, "ignore_eos": True})
    assert (status, whole["choices"][0]["message"]["content"]) == (200, "onetwo")


async def test_a_full_canvas_is_reported_as_length(router: Any, worker: FakeWorker) -> None:
    worker.script.finish_reason = pb.FINISH_REASON_LENGTH
    _, whole = await router.post(ASK)
    assert whole["choices"][0]["finish_reason"] == "length"


async def test_what_the_client_asks_reaches_the_worker_and_what_it_leaves_out_stays_absent(
    router: Any, worker: FakeWorker
) -> None:
    await router.post({**ASK, "max_tokens": 8, "steps": 4, "seed": -1, "temperature": 0, "remasking": "random"})
    options = worker.requests[0].options
    assert (options.gen_length, options.steps, options.seed) == (8, 4, 2**64 - 1)
    assert options.HasField("temperature")
    assert options.remasking == pb.REMASKING_RANDOM
    assert not options.HasField("block_length")
    assert options.WhichOneof("parallel") is None


async def test_without_max_tokens_the_reply_has_the_workers_length(router: Any, worker: FakeWorker) -> None:
    await router.post(ASK)
    assert worker.requests[0].options.gen_length == 64


async def test_the_request_id_is_taken_over_passed_on_and_echoed(router: Any, worker: FakeWorker) -> None:
    async with router.http.post(
        f"{router.url}/v1/chat/completions", json=ASK, headers={"x-request-id": "my-id.1"}
    ) as response:
        assert response.headers["x-request-id"] == "my-id.1"
        assert (await response.json())["id"] != "my-id.1"
    assert worker.requests[0].request_id == "my-id.1"
    assert worker.metadata[0]["x-request-id"] == "my-id.1"


@pytest.mark.parametrize("unfit", ["", "a b", "x" * 129, "ä"])
async def test_an_unfit_request_id_is_replaced(router: Any, unfit: str) -> None:
    async with router.http.get(f"{router.url}/nowhere", headers={"x-request-id": unfit}) as response:
        assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_workers_request_and_frees_its_slot(
    router: Any, worker: FakeWorker, stream: bool
) -> None:
    worker.script.hang_after = 2
    asking = asyncio.create_task(router.post({**ASK, "stream": stream}))
    await asyncio.wait_for(worker.started.wait(), 60)
    assert router.services.queues.running == 1
    asking.cancel()
    await asyncio.wait_for(worker.cancelled.wait(), 60)
    await asyncio.gather(asking, return_exceptions=True)
    await eventually(lambda: router.services.queues.running == 0)
    assert router.services.pool.outstanding(router.services.pool.workers[0]) == 0


async def test_a_client_that_leaves_while_it_is_written_to_leaves_nothing_in_the_log(
    router: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writing, left = asyncio.Event(), asyncio.Event()

    async def send(*_: Any) -> None:
        writing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            left.set()
            raise ConnectionResetError from None

    monkeypatch.setattr(EventStream, "send", send)
    asking = asyncio.create_task(router.post({**ASK, "stream": True}))
    await asyncio.wait_for(writing.wait(), 60)
    asking.cancel()
    await asyncio.wait_for(left.wait(), 60)
    counted = {"route": "/v1/chat/completions", "method": "POST", "status": "499"}
    registry = router.services.metrics.registry
    await eventually(lambda: registry.get_sample_value("tdi_http_requests_total", counted) == 1)
    gc.collect()  # a task tells what nobody has asked it for when it goes
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def text_after_a_comment(router: Any, worker: FakeWorker, **fields: Any) -> str:
    """What a stream says once a comment has come, which is what the worker waits for."""
    body = {**ASK, "stream": True, **fields}
    async with router.http.post(f"{router.url}/v1/chat/completions", json=body) as response:
        assert response.status == 200
        async for line in response.content:
            if line == b": ping\n":
                worker.go_on.set()
                break
        return (await response.read()).decode()


@pytest.mark.parametrize("updates", [0, 2])
async def test_a_stream_says_something_while_its_worker_says_nothing(
    worker: FakeWorker, start_router: Any, updates: int
) -> None:
    router = await start_router(worker.address, keep_alive_seconds=0.01)
    worker.script.hang_after = updates
    assert (await text_after_a_comment(router, worker)).endswith("data: [DONE]\n\n")


class Unreadable(FakeWorker):
    """Runs passes that make nothing readable until `go_on` is set."""

    async def _run(self, request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateUpdate]:
        while not self.go_on.is_set():
            yield pb.GenerateUpdate()
            await asyncio.sleep(0.001)
        async for update in super()._run(request, context):
            yield update


@pytest.mark.parametrize("fields", [{}, {"n": 3}, {"stop": "wörld"}])
async def test_a_stream_says_something_while_nothing_is_readable(
    worker: FakeWorker, start_router: Any, fields: dict[str, Any]
) -> None:
    async with running(Unreadable(worker.info, script=worker.script)) as unreadable:
        router = await start_router(unreadable.address, keep_alive_seconds=0.1)
        assert (await text_after_a_comment(router, unreadable, **fields)).endswith("data: [DONE]\n\n")


async def test_a_stream_says_something_while_it_waits_in_the_queue(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, keep_alive_seconds=0.01, max_running_requests=1)
    worker.script.hang_after = 0
    first = asyncio.create_task(router.post(ASK))
    await eventually(lambda: worker.running == 1)
    assert (await text_after_a_comment(router, worker)).endswith("data: [DONE]\n\n")
    assert (await first)[0] == 200


async def test_a_failure_after_a_comment_is_an_event(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, keep_alive_seconds=0.01)
    worker.script = Script(tokens=worker.script.tokens, order=[[]], hang_after=0)  # then it contradicts itself
    *_, error, done, _ = (await text_after_a_comment(router, worker)).split("\n\n")
    assert '"code":"bad_worker_response"' in error
    assert done == "data: [DONE]"


async def test_eight_requests_at_once_all_get_their_reply(router: Any) -> None:
    asked = [router.post(ASK) for _ in range(4)] + [events(router) for _ in range(4)]
    replies = await asyncio.gather(*asked)
    assert all(whole["choices"][0]["message"]["content"] == TEXT for _, whole in replies[:4])
    assert all("".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == TEXT for chunks in replies[4:])
