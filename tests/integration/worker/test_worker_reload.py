"""A real worker process, to which the launcher, played by the test, says what to change."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from testing.folders import GOLDEN
from textdiffusion.lifeline import LIFELINE
from textdiffusion.rpc import SERVICE_NAME
from textdiffusion.settings import LiveSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc
from worker.reload import apply_line

START_SECONDS = 120
LONG = pb.DiffusionOptions(gen_length=200, block_length=200, steps=200, ignore_eos=True)


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    address = f"unix:{tmp_path}/worker.sock"
    flags = [f"--model={GOLDEN}", f"--listen={address}", "--dtype=float32", "--device=cpu", "--threshold=0.5"]
    with subprocess.Popen(
        [sys.executable, "-m", "worker", *flags, "--log-level=error"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, LIFELINE: "1"},
    ) as process:
        yield process, address
        process.kill()


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def line_with(process: subprocess.Popen[str], word: str) -> str:
    assert process.stderr
    return next(line for line in process.stderr if word in line)


def test_the_launcher_changes_defaults_and_log_level_and_no_request_that_runs(
    launched: tuple[subprocess.Popen[str], str],
) -> None:
    process, address = launched
    say(process, json.dumps({"generation": {"max_tokens": 9}}))  # while it loads
    with grpc.insecure_channel(address) as channel:
        stub = rpc.TextGenerationServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=START_SECONDS, wait_for_ready=True
        )
        next(answer for answer in watch if answer.status == health_pb2.HealthCheckResponse.SERVING)
        defaults = stub.GetInfo(pb.GetInfoRequest(), timeout=60).defaults
        assert (defaults.gen_length, defaults.HasField("threshold")) == (9, False)

        running = stub.GenerateStream(pb.GenerateRequest(options=LONG), timeout=120)
        next(running)
        say(process, "no JSON")
        assert "Invalid JSON" in line_with(process, "cannot be used")
        say(process, json.dumps({"generation": {"max_tokens": 5, "factor": -1}, "log_level": "info"}))
        assert "generation.factor" in line_with(process, "cannot be used")
        assert stub.GetInfo(pb.GetInfoRequest(), timeout=60).defaults == defaults

        say(process, json.dumps({"log_level": "info", "generation": {"max_tokens": 6, "block_length": 3}}))
        line_with(process, "settings changed")
        defaults = stub.GetInfo(pb.GetInfoRequest(), timeout=60).defaults
        assert (defaults.gen_length, defaults.block_length) == (6, 3)
        finished = stub.Generate(pb.GenerateRequest(options=pb.DiffusionOptions(ignore_eos=True)), timeout=60)
        assert finished.usage.completion_tokens == 6
        *_, last = running
        assert last.finished.usage.completion_tokens == 200
    assert process.stdin
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'"debug"',
        b'{"log_level": "loud"}',
        b'{"threshold": 0.5}',
        b'{"generation": 1}',
        b"\xff",
        b"{" * 9999,
    ],
)
def test_a_line_that_cannot_be_used_changes_nothing(line: bytes) -> None:
    changes: list[Any] = []
    apply_line(line, changes.append)
    assert not changes


def test_what_is_left_out_stays() -> None:
    changes: list[LiveSettings] = []
    apply_line(b'{"log_level": "debug"}', changes.append)
    assert changes == [LiveSettings(log_level="debug")]
