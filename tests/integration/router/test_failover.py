"""A worker's death costs nobody more than it must."""

import asyncio
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from testing.lone_worker import lone_worker, said
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from tests.integration.router.streams import events
from textdiffusion.rpc import LOADING, STOPPING
from textdiffusion.v1 import textdiffusion_pb2 as pb

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
PATIENCE_SECONDS = 60
GONE = (grpc.StatusCode.UNAVAILABLE, "it is gone")

MakeWorker = Callable[..., FakeWorker]


@pytest.fixture
async def pair(make_worker: MakeWorker, start_router: Any) -> Any:
    """A router, the worker that it asks first, and another."""
    async with running(make_worker()) as first, running(make_worker()) as second:
        router = await start_router(first.address, second.address)
        await all_serve(router, 2)
        yield router, first, second


async def all_serve(router: Any, count: int) -> None:
    await eventually(lambda: len(router.services.pool.serving("fake")) == count)


def worker_of(router: Any, address: str) -> Any:
    return next(worker for worker in router.services.pool.workers if worker.address == address)


async def retries(router: Any) -> float:
    async with router.http.get(f"{router.url}/metrics") as response:
        found = re.search(r'^tdi_request_retries_total{model_name="fake"} (.+)$', await response.text(), re.MULTILINE)
    assert found
    return float(found[1])


async def test_every_whole_request_survives_the_death_of_a_worker(
    make_worker: MakeWorker, start_router: Any, tokenizer_folder: Path
) -> None:
    async with lone_worker(tokenizer_folder, updates=2) as (process, address), running(make_worker()) as other:
        router = await start_router(address, other.address)
        await all_serve(router, 2)
        other.script.hang_after = 0
        asked = [asyncio.create_task(router.post(ASK)) for _ in range(16)]
        for _ in range(8):
            assert await said(process) == "request"
        process.kill()
        await eventually(lambda: len(other.requests) == 16)
        other.go_on.set()
        replies = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_SECONDS)
    assert {status for status, _ in replies} == {200}
    assert {body["choices"][0]["message"]["content"] for _, body in replies} == {"Hello, wörld! 🌍"}
    assert await retries(router) == 8


@pytest.mark.parametrize("is_unix", [False, True])
async def test_a_worker_that_hangs_is_noticed_and_its_whole_requests_go_elsewhere(
    make_worker: MakeWorker, start_router: Any, tokenizer_folder: Path, tmp_path: Path, *, is_unix: bool
) -> None:
    place = f"unix:{tmp_path}/worker.sock" if is_unix else "127.0.0.1:0"
    async with (
        lone_worker(tokenizer_folder, place, updates=2) as (process, address),
        running(make_worker(), serving=False) as other,
    ):
        router = await start_router(address, other.address)
        whole = asyncio.create_task(router.post(ASK))
        assert await said(process) == "request"
        async with router.http.post(f"{router.url}/v1/chat/completions", json={**ASK, "stream": True}) as stream:
            assert b"assistant" in await stream.content.readline()
            await other.set_serving(True)
            await all_serve(router, 2)
            process.send_signal(signal.SIGSTOP)
            rest = await asyncio.wait_for(stream.read(), PATIENCE_SECONDS)
        assert b'"code":"no_healthy_workers"' in rest
        status, body = await asyncio.wait_for(whole, PATIENCE_SECONDS)
        assert (status, body["choices"][0]["message"]["content"]) == (200, "Hello, wörld! 🌍")
        assert len(other.requests) == 1
        assert (await router.post(ASK))[0] == 200
        process.send_signal(signal.SIGCONT)
        await all_serve(router, 2)


@pytest.mark.parametrize("is_unix", [False, True])
async def test_a_worker_that_is_started_again_is_used_again(
    start_router: Any, tokenizer_folder: Path, tmp_path: Path, *, is_unix: bool
) -> None:
    place = f"unix:{tmp_path}/worker.sock" if is_unix else "127.0.0.1:0"
    async with lone_worker(tokenizer_folder, place, updates=1000) as (process, address):
        router = await start_router(address)
        assert (await router.post(ASK))[0] == 200
        process.kill()
        await eventually(lambda: not router.services.ready)
        assert (await router.post(ASK))[0] == 503
    async with lone_worker(tokenizer_folder, address, updates=1000):
        await eventually(lambda: router.services.ready)
        assert (await router.post(ASK))[0] == 200


async def test_a_stream_of_which_nothing_was_sent_goes_elsewhere(pair: Any) -> None:
    router, first, second = pair
    first.script.reject = GONE
    told = await events(router, "/v1/chat/completions", ASK)
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in told) == "Hello, wörld! 🌍"
    assert [event["choices"][0]["delta"].get("role") for event in told].count("assistant") == 1
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_completion_that_has_not_come_to_its_first_text_goes_elsewhere(pair: Any) -> None:
    router, first, second = pair
    first.script.order = [[1], [0], [2]]  # the first update lets nothing be read
    first.script.fail_after = 1
    told = await events(router, "/v1/completions", {"model": "fake", "prompt": "hi"})
    assert "".join(event["choices"][0]["text"] for event in told) == "Hello, wörld! 🌍"
    assert len(second.requests) == 1


async def test_a_chat_of_which_only_the_role_was_told_goes_elsewhere_and_tells_it_once(pair: Any) -> None:
    router, first, second = pair
    first.script.order = [[1], [0], [2]]
    first.script.fail_after = 1
    told = await events(router, "/v1/chat/completions", ASK)
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in told) == "Hello, wörld! 🌍"
    assert [event["choices"][0]["delta"].get("role") for event in told].count("assistant") == 1
    assert len(second.requests) == 1


async def test_a_stream_that_has_begun_ends_with_the_error(pair: Any) -> None:
    router, first, second = pair
    first.script.fail_after = 3
    *_, last = await events(router, "/v1/chat/completions", ASK)
    assert last["error"]["code"] == "no_healthy_workers"
    assert second.requests == []
    assert await retries(router) == 0


async def test_what_was_kept_of_a_lost_choice_is_thrown_away(pair: Any) -> None:
    router, first, second = pair
    first.script.fail_after = 5
    status, body = await router.post({**ASK, "n": 2, "stop": ["!"], "logprobs": True})
    assert status == 200
    assert [choice["message"]["content"] for choice in body["choices"]] == ["Hello, wörld"] * 2
    tokens = [[token["token"] for token in choice["logprobs"]["content"]] for choice in body["choices"]]
    assert tokens[0] == tokens[1]
    assert (len(first.requests), len(second.requests)) == (1, 2)


async def test_choices_of_one_stream_go_elsewhere_each_by_itself(pair: Any) -> None:
    router, first, second = pair
    first.script.reject = GONE
    told = await events(router, "/v1/chat/completions", {**ASK, "n": 4})
    texts = ["", "", "", ""]
    for event in told:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == ["Hello, wörld! 🌍"] * 4
    assert (len(first.requests), len(second.requests)) == (2, 4)


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    ],
)
async def test_only_a_lost_worker_is_a_reason_to_ask_another(pair: Any, status: grpc.StatusCode) -> None:
    router, first, second = pair
    first.script.reject = (status, "no")
    assert (await router.post(ASK))[0] >= 400
    assert (len(first.requests), len(second.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("failure", "most"),
    [(GONE, 1), ((grpc.StatusCode.UNAVAILABLE, STOPPING), 2), ((grpc.StatusCode.UNAVAILABLE, LOADING), 2)],
)
async def test_one_retry_is_the_most_for_what_workers_die_of_and_two_for_what_they_refuse(
    make_worker: MakeWorker, start_router: Any, failure: tuple[grpc.StatusCode, str], most: int
) -> None:
    workers = [make_worker() for _ in range(4)]
    async with running(workers[0]), running(workers[1]), running(workers[2]), running(workers[3]):
        router = await start_router(*(worker.address for worker in workers))
        await all_serve(router, 4)
        for worker in workers:
            worker.script.reject = failure
        status, body = await router.post(ASK)
        assert (status, body["error"]["code"]) == (503, "no_healthy_workers")
        assert sum(len(worker.requests) for worker in workers) == most + 1
        assert await retries(router) == most


async def test_a_request_whose_worker_was_lost_may_be_refused_once_by_one_that_stops(
    make_worker: MakeWorker, start_router: Any
) -> None:
    workers = [make_worker() for _ in range(3)]
    async with running(workers[0]), running(workers[1]), running(workers[2]):
        router = await start_router(*(worker.address for worker in workers))
        await all_serve(router, 3)
        workers[0].script.reject = GONE
        workers[1].script.reject = (grpc.StatusCode.UNAVAILABLE, STOPPING)
        assert (await router.post(ASK))[0] == 200
        assert [len(worker.requests) for worker in workers] == [1, 1, 1]


async def test_where_there_is_no_other_worker_the_first_error_is_the_answer(router: Any, worker: FakeWorker) -> None:
    worker.script.reject = GONE
    status, body = await router.post(ASK)
    assert (status, body["error"]["code"]) == (503, "no_healthy_workers")
    assert len(worker.requests) == 1
    assert await retries(router) == 0


async def test_a_budget_bounds_how_much_is_retried(pair: Any) -> None:
    router, first, second = pair
    while router.services.pool.retries.affordable:
        router.services.pool.retries.spend()
    first.script.reject = GONE
    assert (await router.post(ASK))[0] == 503
    assert (len(first.requests), len(second.requests)) == (1, 0)


async def test_a_retry_that_may_not_be_costs_no_worker_its_turn(pair: Any) -> None:
    router, first, second = pair
    while router.services.pool.retries.affordable:
        router.services.pool.retries.spend()
    first.script.reject = GONE
    assert [(await router.post(ASK))[0] for _ in range(2)] == [503, 200]
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_retry_has_what_is_left_of_the_time(make_worker: MakeWorker, start_router: Any) -> None:
    async with running(make_worker()) as first, running(make_worker()) as second:
        router = await start_router(first.address, second.address, request_timeout_seconds=2)
        await all_serve(router, 2)
        first.script.hang_after, first.script.fail_after = 1, 2
        second.script.hang_after = 0
        began = asyncio.get_running_loop().time()
        asked = asyncio.create_task(router.post(ASK))
        await eventually(lambda: first.running == 1)
        first.go_on.set()
        status, body = await asked
        assert (status, body["error"]["code"]) == (504, "timeout")
        assert len(second.requests) == 1
        assert asyncio.get_running_loop().time() - began >= 2


async def test_the_slot_is_kept_over_a_retry(make_worker: MakeWorker, start_router: Any) -> None:
    async with running(make_worker()) as first, running(make_worker()) as second:
        router = await start_router(first.address, second.address, max_running_requests=1)
        await all_serve(router, 2)
        first.script.reject = GONE
        second.script.hang_after = 0
        asked = [asyncio.create_task(router.post(ASK)) for _ in range(3)]
        await eventually(lambda: second.running == 1)
        await eventually(lambda: router.services.queues.waiting == 2)
        assert router.services.queues.running == 1
        second.go_on.set()
        assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 3
        assert router.services.queues.running == 0


async def test_the_line_in_the_log_tells_of_retries(pair: Any) -> None:
    router, first, second = pair
    first.script.reject = GONE
    with capture_logs() as logs:
        await router.post(ASK)
        await eventually(lambda: any(line["event"] == "request" for line in logs))
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["retries"], line["worker"]) == (1, second.address)
    (line,) = [line for line in logs if line["event"] == "retrying at another worker"]
    assert (line["lost"], line["worker"]) == (first.address, second.address)


async def test_a_worker_that_fails_everything_gets_only_its_trials(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    router, first, second = pair
    first.script.reject = (grpc.StatusCode.INTERNAL, "no")
    breaker = worker_of(router, first.address).breaker
    now = 0.0
    monkeypatch.setattr(breaker, "_clock", lambda: now)
    while not breaker.is_open:
        await router.post(ASK)
    assert len(first.requests) == 5
    served = len(second.requests)
    assert {(await router.post(ASK))[0] for _ in range(10)} == {200}
    assert (len(first.requests), len(second.requests)) == (5, served + 10)
    now += 10
    assert sorted([(await router.post(ASK))[0] for _ in range(4)]) == [200, 200, 200, 500]
    assert len(first.requests) == 6
    now += 10
    first.script.reject = None
    assert {(await router.post(ASK))[0] for _ in range(4)} == {200}
    assert not breaker.is_open
    assert len(first.requests) == 8


async def test_requests_side_by_side_are_not_all_on_trial(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    router, first, second = pair
    first.script.hang_after = 0
    worker = worker_of(router, first.address)
    open_breaker(worker)
    monkeypatch.setattr(worker.breaker, "_clock", lambda: 1e12)
    asked = [asyncio.create_task(router.post(ASK)) for _ in range(6)]
    await eventually(lambda: len(first.requests) + len(second.requests) == 6)
    assert len(first.requests) == 1
    first.go_on.set()
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}


async def test_a_long_trial_keeps_nobody_away_once_its_reply_has_begun(
    router: Any, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.script.hang_after = 1
    breaker = router.services.pool.workers[0].breaker
    open_breaker(router.services.pool.workers[0])
    monkeypatch.setattr(breaker, "_clock", lambda: 1e12)
    asked = asyncio.create_task(router.post({**ASK, "stop": ["!"]}))
    await eventually(lambda: worker.running == 1 and not breaker.is_open)
    worker.go_on.set()
    assert (await asked)[0] == 200


async def test_requests_that_are_too_long_for_their_time_take_no_worker_away_from_others(
    router: Any, worker: FakeWorker
) -> None:
    worker.script.reject = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    for _ in range(6):
        assert (await router.post(ASK))[0] == 504
    worker.script.reject = None
    assert (await router.post(ASK))[0] == 200


def open_breaker(worker: Any) -> None:
    while worker.breaker.takes_calls:
        with worker.breaker.call() as call:
            call.failed()


async def test_clients_that_leave_and_requests_that_are_wrong_do_not_speak_against_a_worker(
    router: Any, worker: FakeWorker
) -> None:
    worker.script.hang_after = 1
    for number in range(1, 7):
        asked = asyncio.create_task(router.post(ASK))
        await eventually(lambda: len(worker.requests) == number)  # noqa: B023 - it is over before the next
        asked.cancel()
        await eventually(lambda: router.services.queues.running == 0)
    worker.script.reject = (grpc.StatusCode.INVALID_ARGUMENT, "steps: no")
    for _ in range(6):
        assert (await router.post(ASK))[0] == 400
    assert not router.services.pool.workers[0].breaker.is_open


async def test_where_every_worker_fails_it_is_said_when_the_next_trial_is(router: Any, worker: FakeWorker) -> None:
    open_breaker(router.services.pool.workers[0])
    async with router.http.post(f"{router.url}/v1/chat/completions", json=ASK) as response:
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "no_healthy_workers"
        assert 8 <= int(response.headers["Retry-After"]) <= 10
    assert worker.requests == []
    _, health = await router.get("/health")
    assert "it failed its last requests" in health["workers"][0]["reason"]
    async with router.http.get(f"{router.url}/metrics") as response:
        assert 'tdi_worker_breaker_open{model_name="fake",worker="0"} 1.0' in await response.text()


async def test_a_worker_that_becomes_serving_anew_is_trusted_again(router: Any, worker: FakeWorker) -> None:
    open_breaker(router.services.pool.workers[0])
    await worker.set_serving(False)
    await eventually(lambda: not router.services.ready)
    await worker.set_serving(True)
    await eventually(lambda: router.services.ready)
    assert (await router.post(ASK))[0] == 200


async def test_a_stop_string_that_ends_a_call_early_is_a_success(router: Any, worker: FakeWorker) -> None:
    breaker = router.services.pool.workers[0].breaker
    for _ in range(4):
        with breaker.call() as call:
            call.failed()
    worker.script.finish_reason = pb.FINISH_REASON_LENGTH
    assert (await router.post({**ASK, "stop": ["wör"]}))[0] == 200
    assert breaker._failures == 0
