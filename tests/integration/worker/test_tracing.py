"""What a worker leaves in traces; in this process, so that its spans can be seen."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from testing.folders import GOLDEN
from testing.traces import PARENT_ID, TRACE_ID, TRACEPARENT, Recorder, parent_id, trace_id
from testing.waiting import eventually
from textdiffusion.settings import WorkerSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.server import Worker

PROMPT = pb.Tokens(ids=[77, 202])
REQUEST = pb.GenerateRequest(
    request_id="r-1", prompt=PROMPT, options=pb.DiffusionOptions(gen_length=4, ignore_eos=True)
)
ENDLESS = pb.DiffusionOptions(gen_length=500, block_length=500, steps=500, ignore_eos=True)
METADATA = (("traceparent", TRACEPARENT),)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def idle_worker(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Worker]:
    """One that has not loaded its model."""
    settings = WorkerSettings(model=str(GOLDEN), listen=f"unix:{tmp_path}/worker.sock", device="cpu", dtype="float32")
    worker = Worker(settings, recorder.tracing)
    await worker.start()
    yield worker
    await worker.drain()


@pytest.fixture
async def worker(idle_worker: Worker) -> Worker:
    await idle_worker.load()
    return idle_worker


@pytest.fixture
async def stub(idle_worker: Worker) -> AsyncIterator["rpc.TextGenerationServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(idle_worker.settings.listen) as channel:
        yield rpc.TextGenerationServiceStub(channel)


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.usefixtures("worker")
async def test_a_call_goes_on_with_the_router_s_trace_and_says_what_it_took(
    stub: "rpc.TextGenerationServiceAsyncStub", recorder: Recorder, stepwise: bool
) -> None:
    if stepwise:
        updates = [update async for update in stub.GenerateStream(REQUEST, metadata=METADATA)]
        assert updates[-1].finished.usage.forward_passes == 4
    else:
        await stub.Generate(REQUEST, metadata=METADATA)
    (span,) = await recorder.ended(1)
    assert (span.name, span.kind) == ("denoise", SpanKind.SERVER)
    assert (trace_id(span), parent_id(span)) == (TRACE_ID, PARENT_ID)
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "tdi.request.id": "r-1",
        "tdi.forward_passes": 4,
        "tdi.finish_reason": "length",
    }
    assert span.status.status_code is StatusCode.UNSET
    (event,) = span.events
    assert event.name == "first step done"
    assert span.start_time < event.timestamp < span.end_time


@pytest.mark.usefixtures("worker")
async def test_a_refused_call_has_its_status_as_error_type_and_is_no_fault(
    stub: "rpc.TextGenerationServiceAsyncStub", recorder: Recorder
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Generate(pb.GenerateRequest(prompt=pb.Tokens(ids=[320])), metadata=METADATA)
    (span,) = await recorder.ended(1)
    assert span.attributes["error.type"] == "INVALID_ARGUMENT"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_call_before_the_model_is_loaded_is_a_fault(
    stub: "rpc.TextGenerationServiceAsyncStub", recorder: Recorder
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Generate(REQUEST, metadata=METADATA)
    (span,) = await recorder.ended(1)
    assert span.attributes["error.type"] == "UNAVAILABLE"
    assert span.status.status_code is StatusCode.ERROR


async def test_a_step_that_fails_fails_the_span(
    worker: Worker, stub: "rpc.TextGenerationServiceAsyncStub", recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error")

    assert worker.service.serving
    monkeypatch.setattr(worker.service.serving.engine.model.network, "compute_logits", fail)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Generate(REQUEST, metadata=METADATA)
    (span,) = await recorder.ended(1)
    assert (span.attributes["error.type"], span.attributes["tdi.finish_reason"]) == ("INTERNAL", "failed")
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events


@pytest.mark.parametrize("leaves", ["by cancelling", "by its deadline"])
@pytest.mark.parametrize("stepwise", [False, True])
async def test_a_call_that_nobody_waits_for_any_more_ends_its_span_and_that_is_no_fault(
    worker: Worker, stub: "rpc.TextGenerationServiceAsyncStub", recorder: Recorder, leaves: str, stepwise: bool
) -> None:
    assert worker.service.serving
    engine = worker.service.serving.engine
    request = pb.GenerateRequest(prompt=PROMPT, options=ENDLESS)
    seconds = 0.2 if leaves == "by its deadline" else 60
    call = (stub.GenerateStream if stepwise else stub.Generate)(request, timeout=seconds, metadata=METADATA)
    if leaves == "by cancelling":
        await eventually(lambda: engine.stats().forward_passes > 0)
        call.cancel()
    (span,) = await recorder.ended(1)
    assert span.attributes["error.type"] == "cancelled"
    assert span.attributes.get("tdi.forward_passes", 0) < 500
    assert "tdi.finish_reason" not in span.attributes
    assert span.status.status_code is StatusCode.UNSET
