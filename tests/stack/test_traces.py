"""Traces of real processes: of a stack that is asked for them, and of processes that are not, or cannot."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from testing.collector import collecting
from testing.folders import ROOT
from testing.stack import MODEL, start_stack
from testing.traces import PARENT_ID

START_SECONDS = 180
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Spell river"}]}

# Runs a module, and tells at its end what of OpenTelemetry has been imported.
WATCHED = """
import atexit, runpy, sys
atexit.register(lambda: print("imported:", *(name for name in sys.modules if "opentelemetry" in name)))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
# Runs a module where it cannot be imported.
BARE = """
import runpy, sys
sys.modules["opentelemetry"] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def test_router_and_worker_send_their_spans_under_the_client_s_trace_before_they_end() -> None:
    traces = {False: "a" * 32, True: "b" * 32}
    with collecting() as collector:
        process, url = start_stack("--port=0", f"--otlp-endpoint={collector.url}")
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
            for stream, trace in traces.items():
                headers = {"traceparent": f"00-{trace}-{PARENT_ID}-01"}
                client.post(
                    "/chat/completions", body={**ASK, "stream": stream}, options={"headers": headers}, cast_to=str
                )
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    for trace in traces.values():
        call, request = (span for span in collector.of("tdi-router") if span.trace_id.hex() == trace)
        (answer,) = (span for span in collector.of("tdi-worker") if span.trace_id.hex() == trace)
        assert (request.name, request.parent_span_id.hex()) == (f"chat {MODEL}", PARENT_ID)
        assert (call.name, call.parent_span_id) == ("denoise", request.span_id)
        assert (answer.name, answer.parent_span_id) == ("denoise", call.span_id)
        told = [one for span in (request, call, answer) for one in span.attributes if one.key == "tdi.forward_passes"]
        assert len(told) == 3
        assert len({one.value.int_value for one in told}) == 1
    assert len(collector.spans) == 6


@contextmanager
def running(code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_with(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stderr
    return next(line for line in process.stderr if word in line)


def imported(process: "subprocess.Popen[str]") -> str:
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def test_processes_that_are_not_asked_for_traces_import_nothing_of_opentelemetry(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/worker.sock"
    with (
        running(
            WATCHED, "worker", "--model=models/demo", f"--id={MODEL}", f"--listen={listen}", "--device=cpu"
        ) as worker,
        running(WATCHED, "router", "--port=0", f"--workers={listen}") as router,
    ):
        address = re.search(r"http://[\d.:]+", line_with(router, "listening"))
        assert address
        line_with(router, "state=serving")
        asked = urllib.request.Request(f"{address[0]}/v1/chat/completions", data=json.dumps(ASK).encode())
        asked.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(asked, timeout=60) as reply:
            assert reply.status == 200
        assert (imported(router), imported(worker)) == ("imported:\n", "imported:\n")


@pytest.mark.parametrize("module", ["launcher", "router", "worker"])
def test_where_opentelemetry_is_not_installed_asking_for_traces_is_one_sentence(module: str) -> None:
    arguments = ["--model=models/demo"] if module == "worker" else []
    with running(BARE, module, *arguments, "--otlp-endpoint=http://127.0.0.1:4318") as process:
        said, errors = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, said) == (1, "")
    assert errors == (
        "error: --otlp-endpoint: needs OpenTelemetry, which is not installed; "
        "install it with: uv sync --inexact --extra tracing\n"
    )
