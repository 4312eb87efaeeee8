"""Whatever goes wrong, the client gets OpenAI's error object with a status that its library understands."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import openai
import pytest

from router import errors
from router.errors import ANSWERS, ClientError, RouterError, ServiceError, body_of, from_grpc
from router.generation.output import ChoiceDelta, OutputProcessor
from testing.waiting import eventually
from testing.worker import FakeWorker
from textdiffusion.wire import CONTEXT_LENGTH, context_length_exceeded

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def kinds(root: type[RouterError]) -> Iterator[type[RouterError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


def error_object(body: Any) -> dict[str, Any]:
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert not any(leak in error["message"] for leak in ("Traceback", "/work", "0x", "object at"))
    return dict(error)


@pytest.mark.parametrize("kind", [kind for kind in kinds(RouterError) if kind not in (ClientError, ServiceError)])
def test_every_error_has_an_answer(kind: type[RouterError]) -> None:
    assert kind in ANSWERS
    error = kind() if issubclass(kind, ServiceError) else kind("what was wrong")
    error_object(body_of(error))


def test_every_error_is_in_the_tree_on_top() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds(RouterError))


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_way_a_call_can_fail_has_an_answer_that_tells_nothing_of_the_inside(code: grpc.StatusCode) -> None:
    metadata = grpc.aio.Metadata()
    error = from_grpc(grpc.aio.AioRpcError(code, metadata, metadata, details="steps: must be at least 1"))
    told = error_object(body_of(error))["message"]
    assert ("steps" in told) is (code is grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, (400, "invalid_value")),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (503, "server_overloaded")),
        (grpc.StatusCode.UNAVAILABLE, (503, "no_healthy_workers")),
        (grpc.StatusCode.DEADLINE_EXCEEDED, (504, "timeout")),
        (grpc.StatusCode.INTERNAL, (500, "internal_error")),
        (grpc.StatusCode.UNKNOWN, (500, "internal_error")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_that_refuses_gives_the_reply_its_status(
    router: Any, worker: FakeWorker, code: grpc.StatusCode, expected: tuple[int, str], stream: bool
) -> None:
    worker.script.reject = (code, "in the worker's words")
    status, body = await router.post({**ASK, "stream": stream})
    assert (status, error_object(body)["code"]) == expected


@pytest.mark.parametrize(
    ("details", "param", "message"),
    [
        ("gen_length: must be at least 1", "max_tokens", "max_tokens: must be at least 1"),
        ("top_k: this worker does not support it", "top_k", "top_k: this worker does not support it"),
        ("prompt: is wrong", "messages", "messages: is wrong"),
        ("no field: named", None, "no field: named"),
        ("", None, "The worker refused the request."),
    ],
)
async def test_a_field_that_the_worker_refuses_is_told_by_the_name_that_users_know(
    router: Any, worker: FakeWorker, details: str, param: str | None, message: str
) -> None:
    worker.script.reject = (grpc.StatusCode.INVALID_ARGUMENT, details)
    _, body = await router.post(ASK)
    error = error_object(body)
    assert (error["param"], error["message"]) == (param, message)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_too_long_for_a_worker_is_too_long_for_the_model(
    router: Any, worker: FakeWorker, stream: bool
) -> None:
    reason = context_length_exceeded(8, "prompt of 9 tokens leave none of them for the reply")
    worker.script.reject = (grpc.StatusCode.INVALID_ARGUMENT, f"gen_length: {reason}")
    status, body = await router.post({**ASK, "max_completion_tokens": 5, "stream": stream})
    error = error_object(body)
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "max_completion_tokens")
    assert error["message"] == f"{reason}."


async def test_the_openai_client_raises_what_its_users_expect(router: Any) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await router.openai.chat.completions.create(model="gpt", messages=ASK["messages"])
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as wrong:
        await router.openai.chat.completions.create(model="fake", messages=[])
    assert wrong.value.param == "messages"


async def test_a_failure_midway_ends_the_stream_with_an_error_that_the_openai_client_raises(
    router: Any, worker: FakeWorker
) -> None:
    worker.script.fail_after = 3
    stream = await router.openai.chat.completions.create(model="fake", messages=ASK["messages"], stream=True)
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass
    assert caught.value.code == "no_healthy_workers"


async def test_after_a_failure_midway_the_stream_still_says_that_it_is_done(router: Any, worker: FakeWorker) -> None:
    worker.script.fail_after = 3
    async with router.http.post(f"{router.url}/v1/chat/completions", json={**ASK, "stream": True}) as response:
        *_, error, done = (await response.read()).decode().strip().split("\n\n")
    error_object(json.loads(error.removeprefix("data: ")))
    assert done == "data: [DONE]"


async def test_a_stream_that_ends_with_nothing_finished_is_a_failure(router: Any, worker: FakeWorker) -> None:
    worker.script.skip_last_update = True
    worker.script.tokens = []
    status, body = await router.post({**ASK, "stream": True})
    assert (status, error_object(body)["code"]) == (502, "bad_worker_response")


async def test_an_update_that_makes_no_sense_is_a_failure(router: Any, worker: FakeWorker) -> None:
    worker.script.order = [[]]  # the last update calls positions ready that were never committed
    async with router.http.post(f"{router.url}/v1/chat/completions", json={**ASK, "stream": True}) as response:
        assert '"bad_worker_response"' in (await response.read()).decode()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_takes_too_long_is_told_not_to_try_again(
    worker: FakeWorker, start_router: Any, stream: bool
) -> None:
    router = await start_router(worker.address, request_timeout_seconds=0.05)
    worker.script.hang_after = 0
    body = {**ASK, "stream": stream}
    async with router.http.post(f"{router.url}/v1/chat/completions", json=body) as response:
        assert response.status == 504
        assert response.headers["x-should-retry"] == "false"
        assert error_object(await response.json())["code"] == "timeout"
    await asyncio.wait_for(worker.cancelled.wait(), 60)


async def test_a_body_that_does_not_arrive_is_given_up(start_router: Any) -> None:
    router = await start_router(wait=False, request_timeout_seconds=0.1)
    async with router.connection() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n{")
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode().lower()
        body = await asyncio.wait_for(reader.readuntil(b"}}"), 60)
    assert " 408 " in head
    assert "x-should-retry: false" in head
    assert error_object(json.loads(body))["code"] == "request_timeout"


async def test_a_client_that_stops_reading_is_cut_off_at_its_deadline(
    worker: FakeWorker, start_router: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await start_router(worker.address, request_timeout_seconds=0.2)
    monkeypatch.setattr(OutputProcessor, "push", lambda *_: ChoiceDelta(0, "more than any buffer holds " * 500_000))
    worker.script.hang_after = 1
    body = json.dumps({**ASK, "stream": True}).encode()
    async with router.connection() as (reader, writer):
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await asyncio.wait_for(worker.cancelled.wait(), 60)
        await eventually(lambda: router.services.queues.running == 0)
        assert router.services.pool.outstanding(router.services.pool.workers[0]) == 0
        labels = {"route": "/v1/chat/completions", "method": "POST", "status": "499"}
        count = router.services.metrics.registry.get_sample_value
        await eventually(lambda: count("tdi_http_requests_total", labels) == 1)
        assert b"[DONE]" not in await asyncio.wait_for(reader.read(), 60)


async def test_without_a_worker_the_answer_is_to_try_again(start_router: Any) -> None:
    router = await start_router(wait=False)
    async with router.http.post(f"{router.url}/v1/chat/completions", json=ASK) as response:
        assert response.status == 503
        assert response.headers["Retry-After"]
        assert error_object(await response.json())["code"] == "no_healthy_workers"


async def test_a_full_house_refuses_at_once_and_holds_what_it_promised(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, max_running_requests=1, max_waiting_requests=1)
    worker.script.hang_after = 0
    asked = [asyncio.create_task(router.post(ASK)) for _ in range(2)]
    await eventually(lambda: router.services.queues.waiting == 1)
    async with router.http.post(f"{router.url}/v1/chat/completions", json=ASK) as response:
        assert response.status == 503
        assert response.headers["Retry-After"]
        assert error_object(await response.json())["code"] == "server_overloaded"
    worker.go_on.set()
    assert [status for status, _ in await asyncio.gather(*asked)] == [200, 200]
    assert worker.most_running == 1


async def test_a_router_that_drains_takes_no_more(router: Any) -> None:
    router.services.draining = True
    status, body = await router.post(ASK)
    assert (status, error_object(body)["code"]) == (503, "draining")


async def test_an_unknown_path_and_a_wrong_method_are_answered_in_kind(router: Any) -> None:
    status, body = await router.get("/v1/nothing")
    assert (status, error_object(body)["type"]) == (404, "invalid_request_error")
    async with router.http.get(f"{router.url}/v1/chat/completions") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        error_object(await response.json())


async def test_a_path_is_shown_as_it_was_sent(router: Any) -> None:
    _, body = await router.get("/a%0Ab")
    assert error_object(body)["message"] == "There is nothing at GET /a%0Ab."


async def test_a_bug_of_ours_says_nothing_about_itself(router: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise KeyError("/secret/path")

    monkeypatch.setattr(router.services.pool, "model", broken)
    status, body = await router.post(ASK)
    assert status == 500
    assert "secret" not in error_object(body)["message"]


class TestBadBodies:
    """What never was a request; after each the next request works."""

    @pytest.fixture(autouse=True)
    async def _the_next_request_works(self, router: Any) -> AsyncIterator[None]:
        yield
        status, _ = await router.post(ASK)
        assert status == 200

    async def send(self, router: Any, body: Any, content_type: str = "application/json") -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": content_type}
        async with router.http.post(f"{router.url}/v1/chat/completions", data=body, headers=headers) as response:
            assert response.headers["x-request-id"]
            return response.status, error_object(await response.json())

    async def test_malformed_json(self, router: Any) -> None:
        status, error = await self.send(router, b'{"model": ')
        assert (status, error["code"]) == (400, "invalid_json")

    async def test_another_content_type(self, router: Any) -> None:
        status, error = await self.send(router, json.dumps(ASK), "text/plain")
        assert (status, error["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("encoding", ["br", "compress", "gzip, deflate"])
    async def test_another_content_encoding(self, router: Any, encoding: str) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        async with router.http.post(f"{router.url}/v1/chat/completions", data=b"{}", headers=headers) as response:
            assert response.status == 415
            assert error_object(await response.json())["code"] == "unsupported_media_type"

    async def test_no_body(self, router: Any) -> None:
        status, error = await self.send(router, b"")
        assert (status, error["code"]) == (400, "invalid_json")

    async def test_fifty_megabytes(self, router: Any) -> None:
        status, error = await self.send(router, io.BytesIO(bytes(50_000_000)))
        assert (status, error["code"]) == (413, "request_too_large")

    async def test_too_much_without_saying_how_much(self, router: Any) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b" " * 100_000

        status, error = await self.send(router, endless())
        assert (status, error["code"]) == (413, "request_too_large")

    async def test_a_body_that_ends_early(self, router: Any) -> None:
        async with router.connection() as (reader, writer):
            writer.write(HEAD + b'Content-Length: 100\r\n\r\n{"model": ')
            writer.write_eof()
            answer = await reader.read()
        assert not answer or b" 400 " in answer.splitlines()[0]

    async def test_a_prompt_longer_than_the_model_holds(self, router: Any) -> None:
        for content in ("the " * 600, "the " * 100_000):
            long = {"model": "fake", "messages": [{"role": "user", "content": content}]}
            status, error = await self.send(router, json.dumps(long))
            assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
            assert error["message"].startswith(f"{CONTEXT_LENGTH} 512 tokens. However, messages ")

    async def test_a_reply_longer_than_the_model_holds(self, router: Any) -> None:
        status, error = await self.send(router, json.dumps({**ASK, "max_tokens": 512}))
        assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "max_tokens")
        assert error["message"].startswith(f"{CONTEXT_LENGTH} 512 tokens. However, messages holds ")

    async def test_nan(self, router: Any) -> None:
        status, error = await self.send(router, json.dumps({**ASK, "temperature": float("nan")}))
        assert (status, error["param"]) == (400, "temperature")

    async def test_special_tokens_in_a_message_stay_text(self, router: Any, worker: FakeWorker) -> None:
        spelt = {"model": "fake", "messages": [{"role": "user", "content": "<|mdm_mask|> <|eot_id|>"}]}
        status, _ = await router.post(spelt)
        assert status == 200
        assert worker.info.mask_token_id not in worker.requests[0].prompt.ids
        end_of_turn = worker.info.eos_token_ids[1]
        assert list(worker.requests[0].prompt.ids).count(end_of_turn) == 1
