"""A worker as any supervisor runs it: settings in its environment, a log in JSON, and nobody who reads it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from testing.folders import GOLDEN, ROOT
from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

START_SECONDS = STOP_SECONDS = 120


@contextmanager
def running(
    folder: Path, stderr: Any, *before: str, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    address = f"unix:{folder}/worker.sock"
    given = {"TDI_WORKER__MODEL": str(GOLDEN), "TDI_WORKER__LISTEN": address, "TDI_WORKER__DEVICE": "cpu"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [*before, sys.executable, "-m", "worker"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **given, **environment},
        stderr=stderr,
        text=True,
    ) as process:
        yield process, address
        process.kill()


def serves_a_request_and_stops(process: "subprocess.Popen[str]", address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        health = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=START_SECONDS, wait_for_ready=True)
        next(answer for answer in health if answer.status == health_pb2.HealthCheckResponse.SERVING)
        options = pb.DiffusionOptions(gen_length=4, ignore_eos=True)
        reply = rpc.TextGenerationServiceStub(channel).Generate(pb.GenerateRequest(options=options), timeout=60)
        assert reply.usage.completion_tokens == 4
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_SECONDS) == 0


def test_the_environment_alone_makes_a_worker_whose_every_line_is_json(tmp_path: Path) -> None:
    with running(tmp_path, subprocess.PIPE, TDI_LOGGING__LOG_FORMAT="json") as (process, address):
        serves_a_request_and_stops(process, address)
        assert process.stderr
        events = [json.loads(line)["event"] for line in process.stderr]
    assert [event for event in events if event in {"loading", "serving", "stopped"}] == [
        "loading",
        "serving",
        "stopped",
    ]


@pytest.mark.parametrize("log", ["on a full disk", "without a reader", "closed"])
def test_a_log_that_cannot_be_written_costs_nothing(tmp_path: Path, log: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    before = ("sh", "-c", 'exec "$@" 2>&-', "sh") if log == "closed" else ()
    with running(tmp_path, full if log == "on a full disk" else writer, *before) as (process, address):
        os.close(writer)
        os.close(full)
        serves_a_request_and_stops(process, address)


@pytest.mark.parametrize("wrong", ["setting", "name", "model", "address", "certificate"])
def test_a_start_that_fails_says_why_in_json_too(tmp_path: Path, wrong: str) -> None:
    files = dict.fromkeys(("TDI_WORKER__TLS_CERT_FILE", "TDI_WORKER__TLS_KEY_FILE"), "no.pem")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment, said = {
            "setting": ({"TDI_WORKER__DTYPE": "int8"}, "worker.dtype"),
            "name": ({"TDI_WORKER__MODLE": "x"}, "did you mean model?"),
            "model": ({"TDI_WORKER__MODEL": "./nowhere"}, "there is no such folder"),
            "address": ({"TDI_WORKER__LISTEN": f"127.0.0.1:{taken.getsockname()[1]}"}, "in use"),
            "certificate": (files, "no.pem"),
        }[wrong]
        format_ = {"TDI_LOGGING__LOG_FORMAT": "json"}
        with running(tmp_path, subprocess.PIPE, **format_, **environment) as (process, _):
            assert process.stderr
            lines = [json.loads(line) for line in process.stderr]
            assert process.wait(STOP_SECONDS) == 1
    assert said in lines[-1]["event"]
    assert lines[-1]["level"] == "error"
