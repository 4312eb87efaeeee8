"""What a router leaves in traces."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from testing.traces import PARENT_ID, TRACE_ID, TRACEPARENT, Recorder, parent_id, span_id, trace_id
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from tests.integration.router.streams import events

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def router(worker: FakeWorker, start_router: Any, recorder: Recorder) -> Any:
    return await start_router(worker.address, tracing=recorder.tracing)


async def test_a_request_goes_on_with_its_client_s_trace_and_its_worker_with_the_request_s(
    router: Any, worker: FakeWorker, recorder: Recorder
) -> None:
    status, _ = await router.post(CHAT, headers={"Traceparent": TRACEPARENT, "tracestate": "vendor=7,other=8"})
    assert status == 200
    call, request = await recorder.ended(2)
    assert (request.name, request.kind) == ("chat fake", SpanKind.SERVER)
    assert (trace_id(request), parent_id(request)) == (TRACE_ID, PARENT_ID)
    assert (call.name, call.kind) == ("denoise", SpanKind.CLIENT)
    assert (trace_id(call), parent_id(call)) == (TRACE_ID, span_id(request))
    (metadata,) = worker.metadata
    assert metadata["traceparent"] == f"00-{TRACE_ID}-{span_id(call)}-01"
    assert metadata["tracestate"] == "vendor=7,other=8"


async def test_a_request_s_span_says_what_was_asked_for_and_what_it_came_to(router: Any, recorder: Recorder) -> None:
    asked = {"max_completion_tokens": 16, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7, "stop": ["secret"]}
    diffusion = {"threshold": 0.8, "block_length": 8, "kv_cache": "dual", "remasking": "entropy", "cfg_scale": 1.5}
    _, reply = await router.post({**CHAT, **asked, **diffusion}, headers={"x-request-id": "r-1"})
    _, request = await recorder.ended(2)
    assert request.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "text-diffusion-inference",
        "gen_ai.request.model": "fake",
        "gen_ai.request.max_tokens": 16,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 1,
        "gen_ai.request.stream": False,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": reply["usage"]["prompt_tokens"],
        "gen_ai.usage.output_tokens": reply["usage"]["completion_tokens"],
        "http.response.status_code": 200,
        "tdi.request.id": "r-1",
        "tdi.request.threshold": 0.8,
        "tdi.request.block_length": 8,
        "tdi.request.kv_cache": "dual",
        "tdi.request.remasking": "entropy",
        "tdi.request.cfg_scale": 1.5,
        "tdi.forward_passes": 3,
        "tdi.committed_tokens": reply["usage"]["completion_tokens_details"]["committed_tokens"],
    }
    assert request.status.status_code is StatusCode.UNSET


async def test_each_choice_has_the_span_of_a_call(router: Any, worker: FakeWorker, recorder: Recorder) -> None:
    body = {"model": "fake", "prompt": "hi", "n": 2}
    headers = {"x-request-id": "r-1"}
    async with router.http.post(f"{router.url}/v1/completions", json=body, headers=headers) as response:
        assert response.status == 200
    *calls, request = await recorder.ended(3)
    assert request.name == "text_completion fake"
    assert request.attributes["gen_ai.response.finish_reasons"] == ("stop", "stop")
    assert request.attributes["tdi.forward_passes"] == 6
    assert {parent_id(call) for call in calls} == {span_id(request)}
    told = sorted(({**call.attributes} for call in calls), key=lambda attributes: attributes["tdi.choice"])
    assert all(0 <= attributes.pop("tdi.queue_seconds") < 5 for attributes in told)
    assert told == [
        {
            "rpc.system.name": "grpc",
            "server.address": worker.address,
            "tdi.request.id": request_id,
            "tdi.choice": number,
            "tdi.finish_reason": "stop",
            "tdi.forward_passes": 3,
            "tdi.committed_tokens": len(worker.script.tokens),
        }
        for number, request_id in enumerate(["r-1", "r-1-1"])
    ]


async def test_a_lost_worker_and_the_one_after_it_have_a_call_each(
    make_worker: Callable[..., FakeWorker], start_router: Any, recorder: Recorder
) -> None:
    async with running(make_worker()) as first, running(make_worker()) as second:
        router = await start_router(first.address, second.address, tracing=recorder.tracing)
        await eventually(lambda: len(router.services.pool.serving("fake")) == 2)
        first.script.reject = (grpc.StatusCode.UNAVAILABLE, "it is gone")
        assert (await router.post(CHAT))[0] == 200
        lost, retry, request = await recorder.ended(3)
    assert (lost.attributes["error.type"], lost.attributes.get("tdi.retry")) == ("no_healthy_workers", None)
    assert (retry.attributes["server.address"], retry.attributes["tdi.retry"]) == (second.address, 1)
    assert request.status.status_code is retry.status.status_code is StatusCode.UNSET


async def test_the_wait_for_a_slot_is_said_and_is_no_part_of_the_call(
    worker: FakeWorker, start_router: Any, recorder: Recorder
) -> None:
    router = await start_router(worker.address, tracing=recorder.tracing, max_running_requests=1)
    worker.script.hang_after = 1
    first = asyncio.create_task(router.post(CHAT))
    await worker.started.wait()
    second = asyncio.create_task(router.post(CHAT))
    await eventually(lambda: bool(router.services.queues.waiting))
    worker.go_on.set()
    await asyncio.gather(first, second)
    earlier, later = (span for span in await recorder.ended(4) if span.name == "denoise")
    assert earlier.attributes["tdi.queue_seconds"] < later.attributes["tdi.queue_seconds"]
    assert earlier.end_time <= later.start_time


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "")],
        [("traceparent", "nonsense")],
        [("traceparent", TRACEPARENT.upper())],
        [("traceparent", f"00-{'0' * 32}-{PARENT_ID}-01")],
        [("traceparent", f"00-{TRACE_ID}-{'0' * 16}-01")],
        [("traceparent", f"ff-{TRACE_ID}-{PARENT_ID}-01")],
        [("traceparent", TRACEPARENT + "-more")],
        [("traceparent", "0" * 4000)],
        [("traceparent", TRACEPARENT), ("traceparent", f"00-{'1' * 32}-{PARENT_ID}-01")],
        [("tracestate", "vendor=7")],
    ],
    ids=lambda headers: "+".join(f"{name}:{value:.40}" for name, value in headers),
)
async def test_without_a_valid_traceparent_a_trace_begins(
    router: Any, worker: FakeWorker, recorder: Recorder, headers: list[tuple[str, str]]
) -> None:
    status, _ = await router.post(CHAT, headers=headers)
    assert status == 200
    call, request = await recorder.ended(2)
    assert parent_id(request) is None
    assert trace_id(request) not in (TRACE_ID, "1" * 32, "0" * 32)
    assert worker.metadata[0]["traceparent"].split("-")[1:3] == [trace_id(request), span_id(call)]
    assert "tracestate" not in worker.metadata[0]


@pytest.mark.parametrize("tracestate", ["no pairs", "a=1,a=2", "a=" + "b" * 5000, "ä=ö", "a=\t", ","])
async def test_an_invalid_tracestate_goes_nowhere_and_breaks_nothing(
    router: Any, worker: FakeWorker, recorder: Recorder, tracestate: str
) -> None:
    status, _ = await router.post(CHAT, headers={"traceparent": TRACEPARENT, "tracestate": tracestate})
    assert status == 200
    assert trace_id((await recorder.ended(2))[1]) == TRACE_ID
    assert "tracestate" not in worker.metadata[0]


async def test_what_the_client_does_not_sample_is_not_recorded_anywhere(
    router: Any, worker: FakeWorker, recorder: Recorder
) -> None:
    status, _ = await router.post(CHAT, headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"})
    assert status == 200
    version, trace, _, flags = worker.metadata[0]["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE_ID, "00")
    await router.post(CHAT)
    assert TRACE_ID not in {trace_id(span) for span in await recorder.ended(2)}


async def test_the_line_in_the_log_names_the_trace(router: Any) -> None:
    with capture_logs() as lines:
        await router.post(CHAT, headers={"traceparent": TRACEPARENT})
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["trace_id"] == TRACE_ID
    assert line["finish_reasons"] == ["stop"]


async def test_without_tracing_neither_log_nor_worker_hears_of_a_trace(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address)
    with capture_logs() as lines:
        await router.post(CHAT, headers={"traceparent": TRACEPARENT})
    (line,) = [line for line in lines if line["event"] == "request"]
    assert "trace_id" not in line
    assert not {"traceparent", "tracestate"} & set(worker.metadata[0])


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nowhere"])
async def test_what_asks_for_no_text_leaves_no_span(router: Any, recorder: Recorder, path: str) -> None:
    async with router.http.get(f"{router.url}{path}", headers={"traceparent": TRACEPARENT}):
        pass
    await router.post(CHAT)
    assert [span.name for span in await recorder.ended(2)] == ["denoise", "chat fake"]


@pytest.mark.parametrize(
    ("changes", "name", "error"),
    [
        ({"max_tokens": 0}, "chat", "invalid_value"),
        ({"model": "other"}, "chat", "model_not_found"),
        ({"max_tokens": 10**30}, "chat fake", "context_length_exceeded"),
    ],
)
async def test_a_refused_request_has_an_error_type_and_the_status_of_no_fault_of_ours(
    router: Any, recorder: Recorder, changes: dict[str, Any], name: str, error: str
) -> None:
    status, _ = await router.post({**CHAT, **changes})
    (request,) = await recorder.ended(1)
    assert (request.name, request.status.status_code) == (name, StatusCode.UNSET)
    assert request.attributes["error.type"] == error
    assert request.attributes["http.response.status_code"] == status


async def test_a_failing_worker_fails_the_call_and_the_request(
    router: Any, worker: FakeWorker, recorder: Recorder
) -> None:
    worker.script.reject = (grpc.StatusCode.UNAVAILABLE, "the device is gone")
    assert (await router.post(CHAT))[0] == 503
    for span in await recorder.ended(2):
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "no_healthy_workers"
        assert not span.events


async def test_a_stream_that_breaks_fails_although_its_status_was_200(
    router: Any, worker: FakeWorker, recorder: Recorder
) -> None:
    worker.script.fail_after = 2
    await events(router, "/v1/chat/completions", CHAT)
    _, request = await recorder.ended(2)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["error.type"] == "no_healthy_workers"
    assert request.status.status_code is StatusCode.ERROR


async def test_a_stream_s_span_ends_with_its_last_byte(router: Any, worker: FakeWorker, recorder: Recorder) -> None:
    worker.script.hang_after = 3
    body = {**CHAT, "stream": True}
    async with router.http.post(f"{router.url}/v1/chat/completions", json=body) as response:
        assert await response.content.readline()
        assert not recorder.spans
        worker.go_on.set()
        await response.read()
    call, request = await recorder.ended(2)
    assert call.end_time <= request.end_time
    assert request.attributes["gen_ai.request.stream"] is True
    assert request.attributes["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_both_spans_and_that_is_no_fault(
    router: Any, worker: FakeWorker, recorder: Recorder, stream: bool
) -> None:
    worker.script.hang_after = 3
    asking = asyncio.create_task(router.post({**CHAT, "stream": stream}))
    await worker.started.wait()
    assert not recorder.spans
    asking.cancel()
    call, request = await recorder.ended(2)
    assert call.attributes["error.type"] in ("cancelled", "client_left")
    assert request.attributes["error.type"] == "client_left"
    assert "http.response.status_code" not in request.attributes
    assert request.name == "chat fake"
    assert {call.status.status_code, request.status.status_code} == {StatusCode.UNSET}


async def test_a_reply_that_a_stop_string_ends_is_a_call_that_went_well(router: Any, recorder: Recorder) -> None:
    _, reply = await router.post({**CHAT, "stop": ["w"]})
    assert reply["choices"][0]["message"]["content"] == "Hello, "
    call, _ = await recorder.ended(2)
    assert call.attributes["tdi.finish_reason"] == "stop"
    assert "error.type" not in call.attributes


@pytest.mark.parametrize(("seed", "said"), [(-1, -1), (2**64 - 1, -1), (2**63, -(2**63)), (2**63 - 1, 2**63 - 1)])
async def test_a_seed_is_told_in_the_integers_that_traces_have(
    router: Any, recorder: Recorder, seed: int, said: int
) -> None:
    assert (await router.post({**CHAT, "seed": seed}))[0] == 200
    assert (await recorder.ended(2))[1].attributes["gen_ai.request.seed"] == said
