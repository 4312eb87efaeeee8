"""What a request leaves behind, seen from outside: the metrics and the line in the log."""

import asyncio
from typing import Any

import grpc
import pytest
import structlog.testing

from testing.waiting import eventually
from testing.worker import FakeWorker

PATH = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def metric(router: Any, name: str, **labels: str) -> float | None:
    value: float | None = router.services.metrics.registry.get_sample_value(name, {"model_name": "fake", **labels})
    return value


def ended(router: Any, reason: str) -> float | None:
    return metric(router, "tdi_request_success_total", finished_reason=reason)


def admissions(router: Any, outcome: str) -> float | None:
    return metric(router, "tdi_admissions_total", outcome=outcome)


@pytest.mark.parametrize("stream", [False, True])
async def test_each_finished_choice_is_counted_with_what_it_cost(router: Any, stream: bool) -> None:
    async with router.http.post(f"{router.url}{PATH}", json={**ASK, "n": 2, "stream": stream}) as response:
        await response.read()
    await eventually(lambda: metric(router, "tdi_e2e_request_latency_seconds_count") == 1)
    assert ended(router, "stop") == 2
    assert admissions(router, "admitted") == 1
    assert metric(router, "tdi_request_queue_time_seconds_count") == 2
    assert metric(router, "tdi_generation_tokens_total") == 2 * 18
    assert metric(router, "tdi_diffusion_num_forward_passes_total") == 2 * 3
    assert metric(router, "tdi_diffusion_num_committed_tokens_total") == 2 * 20
    assert metric(router, "tdi_time_to_first_block_seconds_count") == (1 if stream else 0)


async def test_whoever_leaves_is_counted_as_such(router: Any, worker: FakeWorker) -> None:
    worker.script.hang_after = 0
    asking = asyncio.create_task(router.post(ASK))
    await worker.started.wait()
    asking.cancel()
    await eventually(lambda: ended(router, "abort") == 1)
    assert admissions(router, "admitted") == 1
    assert not metric(router, "tdi_e2e_request_latency_seconds_count")


async def test_whoever_leaves_the_queue_was_never_admitted(worker: FakeWorker, start_router: Any) -> None:
    worker.script.hang_after = 0
    router = await start_router(worker.address, max_running_requests=1)
    asking = [asyncio.create_task(router.post(ASK)) for _ in range(2)]
    await eventually(lambda: router.services.queues.waiting == 1)
    asking[1].cancel()
    await eventually(lambda: admissions(router, "client_left") == 1)
    worker.go_on.set()
    await asking[0]
    assert (ended(router, "stop"), ended(router, "abort")) == (1, 0)


async def test_refusals_are_counted_by_their_reason(worker: FakeWorker, start_router: Any) -> None:
    worker.script.hang_after = 0
    router = await start_router(
        worker.address, max_running_requests=1, max_waiting_requests=1, queue_timeout_seconds=0.2
    )
    running = asyncio.create_task(router.post(ASK))
    await worker.started.wait()
    waiting = asyncio.create_task(router.post(ASK))
    await eventually(lambda: router.services.queues.waiting == 1)
    status, body = await router.post(ASK)
    assert (status, body["error"]["code"]) == (503, "server_overloaded")
    status, body = await waiting
    assert (status, body["error"]["code"]) == (503, "queue_timeout")
    assert (admissions(router, "queue_full"), admissions(router, "queue_timeout")) == (1, 1)
    worker.go_on.set()
    await running


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_at_the_worker_is_counted_as_an_error(router: Any, worker: FakeWorker, stream: bool) -> None:
    worker.script.reject = (grpc.StatusCode.INTERNAL, "broken")
    status, _ = await router.post({**ASK, "stream": stream})
    assert status == 500
    assert ended(router, "error") == 1


async def test_what_fails_in_mid_stream_is_counted_as_an_error(router: Any, worker: FakeWorker) -> None:
    worker.script.fail_after = 2
    async with router.http.post(f"{router.url}{PATH}", json={**ASK, "stream": True}) as response:
        await response.read()
    await eventually(lambda: ended(router, "error") == 1)
    assert not metric(router, "tdi_e2e_request_latency_seconds_count")


async def test_a_request_that_is_wrong_asks_for_no_place(router: Any) -> None:
    status, _ = await router.post({**ASK, "max_tokens": 10_000})
    assert status == 400
    assert all(not admissions(router, outcome) for outcome in ("admitted", "queue_full", "no_worker"))


async def test_one_line_says_what_was_asked_and_what_it_cost(router: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        await router.post({**ASK, "n": 2}, headers={"x-request-id": "my-id"})
        await eventually(lambda: any(line["event"] == "request" for line in lines))
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["model"], line["choices"], line["stream"], line["status"]) == ("fake", 2, False, 200)
    assert line["finish_reasons"] == ["stop", "stop"]
    assert (line["completion_tokens"], line["forward_passes"], line["committed_tokens"]) == (36, 6, 40)
    assert line["prompt_tokens"] > 0
    assert {"queued_milliseconds", "milliseconds", "worker"} <= line.keys()
