"""A worker in this process, whose device fails on demand."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc

from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.settings import WorkerSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.server import NOT_SERVING, SERVING, Worker

GOLDEN = Path(__file__).parent.parent / "golden" / "llada-tiny"
REQUEST = pb.GenerateRequest(prompt=pb.Tokens(ids=[77, 202]), options=pb.DiffusionOptions(gen_length=4))


class Device:
    """The logits of a network that fail so many times."""

    def __init__(self, worker: Worker) -> None:
        assert worker.service.serving
        self.network = worker.service.serving.engine.model.network
        self.logits = self.network.logits
        self.failures: list[Exception] = []
        self.network.logits = self  # type: ignore[assignment]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.failures:
            raise self.failures.pop()
        return self.logits(hidden)


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    settings = WorkerSettings(model=str(GOLDEN), listen=f"unix:{tmp_path}/worker.sock", device="cpu", dtype="float32")
    worker = Worker(settings)
    await worker.start()
    await worker.load()
    yield worker
    await worker.drain()


@pytest.fixture
async def channel(worker: Worker) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(worker.settings.listen) as channel:
        yield channel


async def health(channel: grpc.aio.Channel) -> set[int]:
    stub = health_pb2_grpc.HealthStub(channel)
    answers = [await stub.Check(health_pb2.HealthCheckRequest(service=name)) for name in ("", SERVICE_NAME)]
    return {answer.status for answer in answers}


async def refusal(channel: grpc.aio.Channel) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rpc.TextGenerationServiceStub(channel).Generate(REQUEST, timeout=60)
    return refused.value.code(), refused.value.details() or ""


async def test_a_step_that_runs_out_of_memory_ends_its_requests_and_the_worker_serves_on(
    worker: Worker, channel: grpc.aio.Channel
) -> None:
    device = Device(worker)
    device.failures = [torch.OutOfMemoryError("CUDA out of memory")]
    assert await refusal(channel) == (
        grpc.StatusCode.INTERNAL,
        "the device ran out of memory; the worker's log says more",
    )
    assert await health(channel) == {SERVING}
    answer = await rpc.TextGenerationServiceStub(channel).Generate(REQUEST, timeout=60)
    assert answer.usage.forward_passes == 4


async def test_a_device_that_no_longer_runs_anything_turns_the_worker_not_serving(
    worker: Worker, channel: grpc.aio.Channel
) -> None:
    device = Device(worker)
    device.failures = [RuntimeError("CUDA error: unspecified launch failure")] * 2
    assert (await refusal(channel))[0] is grpc.StatusCode.INTERNAL
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=60)
    while (await watch.read()).status != NOT_SERVING:
        pass
    assert await health(channel) == {NOT_SERVING}
    assert await refusal(channel) == (grpc.StatusCode.UNAVAILABLE, "the worker's device is broken")
