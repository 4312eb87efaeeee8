"""Every row of the table of errors happens, over real connections, and looks as the table says."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from router.errors import (
    ANSWERS,
    BadWorkerResponseError,
    BodyTooLargeError,
    ContextLengthExceededError,
    DeadlineExceededError,
    DrainingError,
    ExpectationFailedError,
    HostNotAllowedError,
    InternalError,
    InvalidApiKeyError,
    InvalidHttpError,
    InvalidJsonError,
    InvalidValueError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NoHealthyWorkersError,
    PathNotFoundError,
    QueueTimeoutError,
    RateLimitExceededError,
    RequestTimeoutError,
    RouterError,
    ServerOverloadedError,
    UnsupportedMediaTypeError,
    UnsupportedParameterError,
)
from testing.waiting import eventually
from testing.worker import FakeWorker

PATH = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Told:
    status: int
    headers: Mapping[str, str]  # by their names in lower case
    body: Any


@dataclass(frozen=True)
class Stage:
    """A worker, and routers with the settings that a scenario wants."""

    worker: FakeWorker
    start_router: Any

    async def ask(self, body: Any, **settings: Any) -> Told:
        return await self.send(await self.start_router(self.worker.address, **settings), json=body)

    async def send(self, router: Any, method: str = "POST", path: str = PATH, **request: Any) -> Told:
        async with router.http.request(method, f"{router.url}{path}", **request) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Told(response.status, headers, await response.json())

    async def send_raw(self, sent: bytes, **settings: Any) -> Told:
        router = await self.start_router(wait=False, **settings)
        async with router.connection() as (reader, writer):
            writer.write(sent)
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)).decode()
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), PATIENCE_SECONDS)
        return Told(int(status.split(" ")[1]), headers, json.loads(body))

    async def ask_while_busy(self, **settings: Any) -> Told:
        """With the only place taken, which is given free afterwards."""
        router = await self.start_router(self.worker.address, max_running_requests=1, **settings)
        self.worker.script.hang_after = 0
        first = asyncio.create_task(self.send(router, json=ASK))
        await eventually(lambda: router.services.queues.running == 1)
        told = await self.send(router, json=ASK)
        self.worker.go_on.set()
        await first
        return told


@pytest.fixture
def stage(worker: FakeWorker, start_router: Any) -> Stage:
    return Stage(worker, start_router)


async def no_http(stage: Stage) -> Told:
    return await stage.send_raw(b"hello?\r\n\r\n")


async def half_a_body(stage: Stage) -> Told:
    return await stage.send_raw(HEAD + b"Content-Length: 100\r\n\r\n{", request_timeout_seconds=0.1)


async def an_expectation(stage: Stage) -> Told:
    return await stage.send_raw(HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}")


async def no_json(stage: Stage) -> Told:
    router = await stage.start_router(stage.worker.address)
    return await stage.send(router, data=b"{", headers={"Content-Type": "application/json"})


async def plain_text(stage: Stage) -> Told:
    router = await stage.start_router(stage.worker.address)
    return await stage.send(router, data=b"{}", headers={"Content-Type": "text/plain"})


async def a_value_out_of_range(stage: Stage) -> Told:
    return await stage.ask({**ASK, "temperature": 9})


async def an_unsupported_field(stage: Stage) -> Told:
    return await stage.ask({**ASK, "presence_penalty": 1})


async def too_long_a_reply(stage: Stage) -> Told:
    return await stage.ask({**ASK, "max_tokens": 10_000})


async def too_large_a_body(stage: Stage) -> Told:
    return await stage.ask({**ASK, "user": "x" * 2000}, max_body_bytes=1024)


async def another_host(stage: Stage) -> Told:
    return await stage.send(await stage.start_router(wait=False), json=ASK, headers={"Host": "evil.example"})


async def another_model(stage: Stage) -> Told:
    return await stage.ask({**ASK, "model": "other"})


async def no_key(stage: Stage) -> Told:
    return await stage.ask(ASK, api_keys={"alice": "sk-alice"})


async def another_path(stage: Stage) -> Told:
    return await stage.send(await stage.start_router(wait=False), "GET", "/nowhere")


async def another_method(stage: Stage) -> Told:
    return await stage.send(await stage.start_router(wait=False), "GET")


async def one_request_too_many(stage: Stage) -> Told:
    router = await stage.start_router(stage.worker.address, requests_per_minute=1)
    assert (await stage.send(router, json=ASK)).status == 200
    return await stage.send(router, json=ASK)


async def a_full_queue(stage: Stage) -> Told:
    return await stage.ask_while_busy(max_waiting_requests=0)


async def too_long_a_wait(stage: Stage) -> Told:
    return await stage.ask_while_busy(queue_timeout_seconds=0.05)


async def no_worker(stage: Stage) -> Told:
    return await stage.send(await stage.start_router(wait=False), json=ASK)


async def a_shutdown(stage: Stage) -> Told:
    router = await stage.start_router(stage.worker.address)
    router.services.draining = True
    return await stage.send(router, json=ASK)


async def a_worker_that_finishes_nothing(stage: Stage) -> Told:
    stage.worker.script.tokens = []
    stage.worker.script.skip_last_update = True
    return await stage.ask({**ASK, "stream": True})


async def a_worker_that_hangs(stage: Stage) -> Told:
    stage.worker.script.hang_after = 0
    return await stage.ask(ASK, request_timeout_seconds=0.1)


async def a_worker_s_mistake(stage: Stage) -> Told:
    stage.worker.script.reject = (grpc.StatusCode.INTERNAL, "index 7 is out of bounds")
    return await stage.ask(ASK)


SCENARIOS: Mapping[type[RouterError], Callable[[Stage], Awaitable[Told]]] = {
    InvalidHttpError: no_http,
    InvalidJsonError: no_json,
    InvalidValueError: a_value_out_of_range,
    UnsupportedParameterError: an_unsupported_field,
    ContextLengthExceededError: too_long_a_reply,
    InvalidApiKeyError: no_key,
    HostNotAllowedError: another_host,
    ModelNotFoundError: another_model,
    PathNotFoundError: another_path,
    MethodNotAllowedError: another_method,
    RequestTimeoutError: half_a_body,
    BodyTooLargeError: too_large_a_body,
    UnsupportedMediaTypeError: plain_text,
    ExpectationFailedError: an_expectation,
    RateLimitExceededError: one_request_too_many,
    ServerOverloadedError: a_full_queue,
    QueueTimeoutError: too_long_a_wait,
    NoHealthyWorkersError: no_worker,
    DrainingError: a_shutdown,
    BadWorkerResponseError: a_worker_that_finishes_nothing,
    DeadlineExceededError: a_worker_that_hangs,
    InternalError: a_worker_s_mistake,
}

# Of headers that vary, those that a row's scenario gets.
VARYING = {MethodNotAllowedError: {"allow": "POST"}, RateLimitExceededError: {"retry-after": "60"}}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_what_goes_wrong_is_told_as_the_table_says(stage: Stage, kind: type[RouterError]) -> None:
    told, answer = await SCENARIOS[kind](stage), ANSWERS[kind]
    assert told.body.keys() == {"error"}
    assert told.body["error"].keys() == {"message", "type", "param", "code"}
    assert (told.status, told.body["error"]["type"], told.body["error"]["code"]) == (
        answer.status,
        answer.type,
        answer.code,
    )
    assert told.body["error"]["message"].endswith(".")
    assert told.headers["content-type"] == "application/json; charset=utf-8"
    assert told.headers["x-request-id"]
    assert_headers(told.headers, {name.lower(): value for name, value in answer.headers.items()})
    assert_headers(told.headers, VARYING.get(kind, {}))


def assert_headers(told: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        if name == "retry-after":  # may be told better than by the table
            assert 1 <= int(told[name]) <= max(int(value), PATIENCE_SECONDS)
        else:
            assert told[name] == value


@pytest.mark.parametrize(
    ("kind", "status"), [(kind, status) for kind, answer in ANSWERS.items() for status in answer.grpc_statuses]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_s_failure_becomes_the_error_that_the_table_says(
    stage: Stage, kind: type[RouterError], status: grpc.StatusCode, stream: bool
) -> None:
    stage.worker.script.reject = (status, "steps: must be at least 1")
    told = await stage.ask({**ASK, "stream": stream})
    assert (told.status, told.body["error"]["code"]) == (ANSWERS[kind].status, ANSWERS[kind].code)


def test_headers_that_vary_are_among_those_that_the_table_names() -> None:
    assert {kind for kind, answer in ANSWERS.items() if answer.varying_headers} == VARYING.keys()
    for kind, headers in VARYING.items():
        assert headers.keys() <= {name.lower() for name in ANSWERS[kind].varying_headers}
