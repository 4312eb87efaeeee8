"""A real worker process, spoken to over gRPC."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from testing.folders import GOLDEN
from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.settings import WorkerSettings
from textdiffusion.signals import ECHO_SECONDS, EXIT_FORCED
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.models.checkpoint import CheckpointError
from worker.server import AddressInUseError, Worker

PROMPT = pb.Tokens(ids=[77, 202, 24, 37])
ENDLESS = pb.DiffusionOptions(gen_length=500, block_length=500, steps=500, ignore_eos=True)
LONG = pb.DiffusionOptions(gen_length=200, block_length=200, steps=200, ignore_eos=True)
END = 304
START_SECONDS = 120
GRACE = "--grace-seconds=600"
STOP_SECONDS = 120  # well below the grace period, although somebody may still watch


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "worker", *arguments], stderr=subprocess.PIPE, text=True)


def await_health(channel: grpc.Channel, status: int, service: str = SERVICE_NAME) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    for answer in health_pb2_grpc.HealthStub(channel).Watch(request, timeout=START_SECONDS, wait_for_ready=True):
        if answer.status == status:
            return


@contextmanager
def running_worker(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    address = f"unix:{folder}/worker.sock"
    process = start(f"--model={GOLDEN}", f"--listen={address}", "--dtype=float32", "--id=tiny", "--device=cpu", GRACE)
    try:
        yield process, address
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def shared_channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """To a worker that several tests ask, one after the other."""
    with running_worker(tmp_path_factory.mktemp("shared")) as (_, address), grpc.insecure_channel(address) as channel:
        await_health(channel, health_pb2.HealthCheckResponse.SERVING)
        yield channel


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], grpc.Channel]]:
    """A worker for one test to stop as it likes, which is still loading."""
    with running_worker(tmp_path) as (process, address), grpc.insecure_channel(address) as channel:
        yield process, channel


def cases_as_requests(cases: list[dict[str, Any]]) -> Iterator[tuple[pb.GenerateRequest, list[int]]]:
    for case in cases:
        options = pb.DiffusionOptions(
            gen_length=case["gen_length"],
            block_length=case["block_length"],
            steps=case["steps"],
            threshold=case["threshold"],
            cfg_scale=case["cfg_scale"],
            kv_cache=pb.KvCache.Value(f"KV_CACHE_{case['cache'].upper()}"),
            ignore_eos=True,
        )
        yield pb.GenerateRequest(prompt=pb.Tokens(ids=case["prompt_ids"]), options=options), case["output_ids"]


def test_every_golden_case_gives_its_tokens_over_grpc(
    shared_channel: grpc.Channel, golden_cases: list[dict[str, Any]]
) -> None:
    stub = rpc.TextGenerationServiceStub(shared_channel)
    with ThreadPoolExecutor(16) as clients:
        answers = [
            (clients.submit(stub.Generate, request, timeout=120), expected)
            for request, expected in cases_as_requests(golden_cases)
        ]
        for answer, expected in answers:
            assert list(answer.result().output.ids) == expected


def test_a_stream_tells_commits_frontier_and_canvas_and_ends_with_the_answer(shared_channel: grpc.Channel) -> None:
    stub = rpc.TextGenerationServiceStub(shared_channel)
    options = pb.DiffusionOptions(gen_length=16, block_length=8, steps=16, ignore_eos=True)
    request = pb.GenerateRequest(request_id="r-1", prompt=PROMPT, options=options, report_canvas=True)
    *updates, last = stub.GenerateStream(request, timeout=60)
    canvas = [305] * 16
    for update in updates:
        for token in update.committed:
            canvas[token.position] = token.id
        assert list(update.canvas.ids) == canvas
    assert [update.ready for update in updates] == sorted(update.ready for update in updates)
    finished = last.finished
    assert list(finished.output.ids) == canvas
    assert (finished.request_id, finished.finish_reason) == ("r-1", pb.FINISH_REASON_LENGTH)
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (4, 16)
    assert finished.usage.forward_passes == len(updates) == 16
    assert [token.position for token in finished.tokens] == list(range(16))


def test_infilling_with_alternatives_tells_them_position_by_position(shared_channel: grpc.Channel) -> None:
    options = pb.DiffusionOptions(gen_length=6, block_length=3, ignore_eos=True, top_logprobs=2, factor=1.5)
    request = pb.GenerateRequest(prompt=PROMPT, suffix=pb.Tokens(ids=[5, 6]), options=options)
    finished = rpc.TextGenerationServiceStub(shared_channel).Generate(request, timeout=60)
    assert [token.position for token in finished.tokens] == list(range(6))
    assert [token.id for token in finished.tokens] == list(finished.output.ids)
    assert all(len(token.top) == 2 and token.top[0].logprob >= token.top[1].logprob for token in finished.tokens)
    assert finished.usage.prompt_tokens == 6


def test_a_reply_tells_all_that_was_committed_behind_its_end_token_too(
    shared_channel: grpc.Channel, golden_cases: list[dict[str, Any]]
) -> None:
    stub = rpc.TextGenerationServiceStub(shared_channel)
    request = next(
        request for request, output in cases_as_requests(golden_cases) if END in output[8:-8] and len(output) > 32
    )
    request.options.ignore_eos = False
    before = stub.GetStats(pb.GetStatsRequest())
    *updates, last = stub.GenerateStream(request, timeout=60)
    streamed = last.finished.usage
    assert last.finished.finish_reason == pb.FINISH_REASON_STOP
    assert streamed.committed_tokens == sum(len(update.committed) for update in updates)
    assert streamed.committed_tokens > streamed.completion_tokens + 1
    assert stub.Generate(request, timeout=60).usage == streamed
    after = stub.GetStats(pb.GetStatsRequest())
    assert after.committed_tokens_total == before.committed_tokens_total + 2 * streamed.committed_tokens
    assert after.forward_passes_total == before.forward_passes_total + 2 * streamed.forward_passes


def test_stats_tell_the_batch_sizes_and_the_cache_in_use(shared_channel: grpc.Channel) -> None:
    stub = rpc.TextGenerationServiceStub(shared_channel)
    before = until_idle(stub)
    call = stub.GenerateStream(pb.GenerateRequest(prompt=PROMPT, options=ENDLESS), timeout=60)
    next(call)
    during = stub.GetStats(pb.GetStatsRequest())
    call.cancel()
    after = until_idle(stub)
    assert (before.kv_cache_positions_used, during.kv_cache_positions_used) == (0, 504)
    assert during.kv_cache_positions_total == 16 * 512
    assert len(after.step_batch_sizes) == 5
    assert sum(after.step_batch_sizes) == after.forward_passes_total
    alone = after.forward_passes_total - before.forward_passes_total
    assert after.step_batch_sizes[0] - before.step_batch_sizes[0] == alone > 0
    assert after.step_batch_size_sum - before.step_batch_size_sum == alone
    assert after.failed_requests_total == 0


def test_info_tells_what_is_served(shared_channel: grpc.Channel) -> None:
    info = rpc.TextGenerationServiceStub(shared_channel).GetInfo(pb.GetInfoRequest())
    assert (info.model_id, info.model_type, info.device, info.dtype) == ("tiny", "llada", "cpu", "float32")
    assert (info.vocab_size, info.max_sequence_length, info.mask_token_id) == (320, 512, 305)
    assert (list(info.eos_token_ids), info.parameters) == ([304], 141632)
    assert (info.defaults.gen_length, info.defaults.block_length) == (128, 32)
    assert len(info.fingerprint) == 64


def test_a_bad_request_names_its_field_and_the_next_one_works(shared_channel: grpc.Channel) -> None:
    stub = rpc.TextGenerationServiceStub(shared_channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Generate(pb.GenerateRequest(prompt=pb.Tokens(ids=[320])), timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith("prompt: token id 320")
    assert stub.Generate(pb.GenerateRequest(prompt=PROMPT, options=pb.DiffusionOptions(gen_length=4)), timeout=60)


def until_idle(stub: rpc.TextGenerationServiceStub) -> pb.GetStatsResponse:
    for _ in range(20_000):
        stats = stub.GetStats(pb.GetStatsRequest())
        if not stats.running_requests:
            return stats
    raise AssertionError(stats)


@pytest.mark.parametrize("leaves", ["by cancelling", "by its deadline"])
def test_a_client_that_leaves_stops_the_work(shared_channel: grpc.Channel, leaves: str) -> None:
    stub = rpc.TextGenerationServiceStub(shared_channel)
    before = until_idle(stub)
    request = pb.GenerateRequest(prompt=PROMPT, options=ENDLESS)
    call = stub.GenerateStream(request, timeout=0.2 if leaves == "by its deadline" else 60)
    if leaves == "by cancelling":
        next(call)
        call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)
    after = until_idle(stub)
    assert after.forward_passes_total < before.forward_passes_total + 500
    assert after.cancelled_requests_total == before.cancelled_requests_total + 1
    assert after.finished_requests_total == before.finished_requests_total
    assert 0 < after.memory_used_bytes < after.memory_total_bytes


async def test_the_service_is_not_serving_until_the_model_is_loaded(tmp_path: Path) -> None:
    """In this process, where loading waits until it is asked for; a process may be done before anybody looks."""
    worker = Worker(WorkerSettings(model=str(GOLDEN), listen=f"unix:{tmp_path}/worker.sock", device="cpu"))
    async with grpc.aio.insecure_channel(await worker.start()) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=START_SECONDS)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="still loading"):
            await rpc.TextGenerationServiceStub(channel).GetInfo(pb.GetInfoRequest())
        await worker.load()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await worker.drain()


def test_reflection_lists_the_services(shared_channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(shared_channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=60)
    assert {service.name for service in answer.list_services_response.service} >= {
        SERVICE_NAME,
        "grpc.health.v1.Health",
    }


def test_sigterm_finishes_what_runs_and_refuses_what_comes(
    worker: tuple[subprocess.Popen[str], grpc.Channel],
) -> None:
    process, channel = worker
    await_health(channel, health_pb2.HealthCheckResponse.SERVING)
    stub = rpc.TextGenerationServiceStub(channel)
    running = stub.GenerateStream(pb.GenerateRequest(prompt=PROMPT, options=LONG), timeout=120)
    next(running)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=120)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    process.send_signal(signal.SIGTERM)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    alive = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=""), timeout=60)
    assert alive.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refused:
        stub.Generate(pb.GenerateRequest(prompt=PROMPT), timeout=60)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    *_, last = running
    assert last.finished.usage.completion_tokens == 200
    assert process.wait(STOP_SECONDS) == 0


def test_a_second_signal_ends_it_at_once(worker: tuple[subprocess.Popen[str], grpc.Channel]) -> None:
    process, channel = worker
    await_health(channel, health_pb2.HealthCheckResponse.SERVING)
    stub = rpc.TextGenerationServiceStub(channel)
    running = stub.GenerateStream(pb.GenerateRequest(prompt=PROMPT, options=ENDLESS), timeout=120)
    next(running)
    process.send_signal(signal.SIGTERM)
    await_health(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
    assert code_after_signals(process) == EXIT_FORCED


def code_after_signals(process: subprocess.Popen[str]) -> int:
    """The exit code, for as many signals as it takes; those that come too soon are taken for echoes."""
    while True:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(ECHO_SECONDS)


def test_a_signal_that_comes_twice_at_once_loses_no_request(worker: tuple[subprocess.Popen[str], grpc.Channel]) -> None:
    """As from a terminal, whose Ctrl-C `uv run` passes on besides."""
    process, channel = worker
    await_health(channel, health_pb2.HealthCheckResponse.SERVING)
    stub = rpc.TextGenerationServiceStub(channel)
    running = stub.GenerateStream(pb.GenerateRequest(prompt=PROMPT, options=LONG), timeout=120)
    next(running)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    *_, last = running
    assert last.finished.usage.completion_tokens == 200
    assert process.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("moment", ["loading", "serving"])
def test_a_signal_as_the_model_loads_or_has_just_loaded_ends_it_with_0(
    worker: tuple[subprocess.Popen[str], grpc.Channel], moment: str
) -> None:
    process, _ = worker
    assert process.stderr
    for line in process.stderr:
        if moment in line:
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_SECONDS) == 0
    assert "Traceback" not in process.stderr.read()


def test_a_worker_that_cannot_start_says_why_in_one_message() -> None:
    process = start("--model=./nowhere", "--listen=127.0.0.1:0")
    _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert "error: ./nowhere: there is no such folder" in errors
    assert "Traceback" not in errors


async def why_it_does_not_load(folder: Path, **settings: Any) -> str:
    """In this process."""
    worker = Worker(WorkerSettings(**{"model": str(GOLDEN), "listen": f"unix:{folder}/worker.sock", **settings}))
    await worker.start()
    with pytest.raises(CheckpointError) as why:
        await worker.load()
    await worker.drain()
    return str(why.value)


async def test_a_cache_without_room_is_refused(tmp_path: Path) -> None:
    why = await why_it_does_not_load(tmp_path, kv_cache_positions=1_000_000_000_000)
    assert "does not fit: it needs " in why
    assert "keys and values of 1000000000000 positions" in why
    assert "What helps: " in why
    assert "a kv_cache_positions below 1000000000000" in why


async def test_a_model_that_is_truncated_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((GOLDEN / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((GOLDEN / "model.safetensors").read_bytes()[:9000])
    assert "model.safetensors is truncated" in await why_it_does_not_load(tmp_path, model=str(tmp_path))


async def test_an_address_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUseError, match=f"^{listen}: the address is in use"):
            await Worker(WorkerSettings(model=str(GOLDEN), listen=listen)).start()


def test_settings_come_from_flags_and_the_environment_and_are_printed() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "worker", "--model=m", "--threshold=0.7", "--print-config"],
        env={**os.environ, "TDI_WORKER__DTYPE": "float16"},
        stdout=subprocess.PIPE,
        check=True,
    )
    worker = json.loads(printed.stdout)["worker"]
    assert (worker["model"], worker["dtype"], worker["generation"]["threshold"]) == ("m", "float16", 0.7)


GRAPHS_FAIL = """
import worker.engine.model_runner as runner
from worker.__main__ import main
from worker.engine.cuda_graphs import GraphCaptureError

def fail(*_, use_graphs, **__):
    raise GraphCaptureError(f"out of memory, use_graphs {use_graphs}")

runner.choose_forward = fail
main()
"""


def test_a_worker_whose_graphs_cannot_be_recorded_becomes_one_without_and_follows_its_parent_still(
    tmp_path: Path,
) -> None:
    address = f"unix:{tmp_path}/worker.sock"
    process = subprocess.Popen(
        [sys.executable, "-c", GRAPHS_FAIL, f"--model={GOLDEN}", f"--listen={address}", "--device=cpu"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TDI_LIFELINE": "1"},
    )
    with process, grpc.insecure_channel(address) as channel:
        try:
            await_health(channel, health_pb2.HealthCheckResponse.SERVING)
            _, log = process.communicate("", timeout=STOP_SECONDS)  # the end of its standard input
        finally:
            process.kill()
    assert process.returncode == 0
    assert "the worker starts again without" in log
    assert "out of memory, use_graphs True" in log
