"""A worker in this process, whose device fails on demand."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc

from testing.folders import GOLDEN
from testing.waiting import eventually
from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.settings import WorkerSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.health import NOT_SERVING, SERVING
from worker.server import Worker

PATIENCE_SECONDS = 60
REQUEST = pb.GenerateRequest(prompt=pb.Tokens(ids=[77, 202]), options=pb.DiffusionOptions(gen_length=4))


class Device:
    """The logits of a network that fail so many times, or do not come until `goes_on` is set."""

    def __init__(self, worker: Worker) -> None:
        assert worker.service.serving
        self.progress = worker.service.serving.engine.progress
        self.network = worker.service.serving.engine.model.network
        self.logits = self.network.compute_logits
        self.failures: list[Exception] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.network.compute_logits = self  # type: ignore[assignment]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        self.goes_on.wait(PATIENCE_SECONDS)
        if self.failures:
            raise self.failures.pop()
        return self.logits(hidden)


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with running_worker(tmp_path) as worker:
        yield worker


@asynccontextmanager
async def running_worker(folder: Path, **settings: Any) -> AsyncIterator[Worker]:
    listen = f"unix:{folder}/worker.sock"
    settings = {"model": str(GOLDEN), "listen": listen, "device": "cpu", "dtype": "float32", **settings}
    worker = Worker(WorkerSettings(**settings))
    await worker.start()
    await worker.load()
    yield worker
    await worker.drain()


@pytest.fixture
async def channel(worker: Worker) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(worker.settings.listen) as channel:
        yield channel


async def until(status: int, channel: grpc.aio.Channel) -> None:
    """Returns once the service and the process as a whole have this status."""
    for name in (SERVICE_NAME, ""):
        request = health_pb2.HealthCheckRequest(service=name)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=PATIENCE_SECONDS)
        while (await watch.read()).status != status:
            pass


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
    await until(NOT_SERVING, channel)
    assert await health(channel) == {NOT_SERVING}
    assert await refusal(channel) == (grpc.StatusCode.UNAVAILABLE, "the worker's device is broken")


async def test_a_step_that_does_not_end_turns_the_worker_not_serving_until_it_does(tmp_path: Path) -> None:
    async with (
        running_worker(tmp_path, stall_seconds=0.2) as worker,
        grpc.aio.insecure_channel(worker.settings.listen) as channel,
    ):
        device = Device(worker)
        device.goes_on.clear()
        running = asyncio.ensure_future(rpc.TextGenerationServiceStub(channel).Generate(REQUEST, timeout=60))
        await until(NOT_SERVING, channel)
        device.goes_on.set()
        assert (await running).usage.forward_passes == 4
        await until(SERVING, channel)


async def test_a_worker_whose_last_step_does_not_end_says_so_when_it_stops(
    worker: Worker, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.server.LAST_STEP_SECONDS", 0.1)
    device = Device(worker)
    device.goes_on.clear()
    worker.settings = worker.settings.model_copy(update={"grace_seconds": 0.1})
    running = asyncio.ensure_future(rpc.TextGenerationServiceStub(channel).Generate(REQUEST, timeout=60))
    await eventually(lambda: device.progress.lasted > 0)
    assert not await worker.drain()
    with pytest.raises(grpc.aio.AioRpcError):
        await running
    device.goes_on.set()
