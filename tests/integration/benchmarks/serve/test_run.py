import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serve.__main__ import main
from testing.folders import ROOT
from tests.integration.benchmarks.serve.server import OpenAiServer, serving

PNG = b"\x89PNG"


def run(server: OpenAiServer, out: Path, *arguments: str) -> dict[str, Any]:
    with serving(server):
        assert main([f"--url={server.url}", f"--output={out / 'new' / 'run.json'}", *arguments]) == 0
    written: dict[str, Any] = json.loads((out / "new" / "run.json").read_text())
    return written


def test_a_run_measures_every_request_and_says_on_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = OpenAiServer()
    plot = tmp_path / "run.png"
    written = run(server, tmp_path, "--num-prompts=20", "--request-rate=500", f"--plot={plot}", "--input-len=100")
    assert {"command", "machine", "cores", "python", "finished"} < written.keys()
    assert written["configuration"]["model"] == "first"
    assert written["configuration"]["duration"] == "inf"
    summary = written["summary"]
    assert (summary["completed"], summary["failed"], summary["interrupted"]) == (20, 0, 0)
    assert (summary["input_tokens"], summary["output_tokens"]) == (100, 64)
    assert (summary["forward_passes"], summary["tokens_per_forward_pass"]) == (4, 16)
    assert 0 < summary["ttft"]["median"] <= summary["e2el"]["median"]
    assert summary["itl"]["median"] >= 0
    assert [row["number"] for row in written["rows"]] == list(range(20))
    assert all(len(row["texts"]) == 3 and row["finish_reason"] == "length" for row in written["rows"])
    assert all(body["stream"] and body["stream_options"] == {"include_usage": True} for body in server.bodies[2:])
    assert "20 completed, 0 failed" in capsys.readouterr().out
    assert plot.read_bytes().startswith(PNG)


def test_failures_are_counted_by_kind_and_left_out_of_the_latencies(tmp_path: Path) -> None:
    server = OpenAiServer(refuse=frozenset([1, 4, 7]), cut_off=frozenset([2]))
    plot = tmp_path / "run.png"
    written = run(server, tmp_path, "--num-prompts=10", "--max-concurrency=1", f"--plot={plot}", "--goodput=e2el:60000")
    summary = written["summary"]
    told = [(failure["status"], failure["error"], failure["requests"]) for failure in summary["failures"]]
    assert told == [(503, "server_overloaded", 3), (200, "cut_off", 1)]
    assert (summary["completed"], summary["failed_share"], summary["peak_concurrency"]) == (6, 0.4, 1)
    assert summary["goodput"] == pytest.approx(summary["request_rate"])
    assert [row["number"] for row in written["rows"] if row["error"]] == [1, 2, 4, 7]


@pytest.mark.parametrize("arguments", [("--no-stream",), ("--no-stream", "--endpoint=completions")])
def test_whole_replies_have_no_first_token(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    server = OpenAiServer()
    summary = run(server, tmp_path, "--num-prompts=5", "--model=second", *arguments)["summary"]
    assert (summary["completed"], summary["ttft"], summary["itl"]) == (5, None, None)
    assert {body["model"] for body in server.bodies} == {"second"}
    assert not any("stream" in body for body in server.bodies)


def test_completions_stream_too(tmp_path: Path) -> None:
    summary = run(OpenAiServer(), tmp_path, "--num-prompts=5", "--endpoint=completions")["summary"]
    assert summary["completed"] == 5
    assert summary["ttft"]


def test_the_key_is_shown_and_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = OpenAiServer()
    run(server, tmp_path, "--num-prompts=2")
    assert server.keys == {"Bearer sk-secret"}
    assert "sk-secret" not in (tmp_path / "new" / "run.json").read_text()


def test_a_server_that_does_not_count_is_measured_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = run(OpenAiServer(counts=False), tmp_path, "--num-prompts=3", "--input-len=20")
    assert written["summary"]["completed"] == 3
    assert written["summary"]["output_token_rate"] is None
    assert "a word is taken for one" in capsys.readouterr().err


def test_a_request_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with serving(OpenAiServer(hang_from=1)) as server:
        file = tmp_path / "run.json"
        main([f"--url={server.url}", "--num-prompts=2", "--timeout=1", f"--output={file}"])
    failures = json.loads(file.read_text())["summary"]["failures"]
    assert [(failure["status"], failure["error"]) for failure in failures] == [(None, "timeout")]


def test_where_nothing_answers_it_says_so_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url=http://127.0.0.1:1/v1"]) == 1
    assert "error: http://127.0.0.1:1/v1/models does not answer" in capsys.readouterr().err


def test_where_no_request_is_completed_it_fails(tmp_path: Path) -> None:
    with serving(OpenAiServer(refuse=frozenset(range(3)))) as server:
        assert main([f"--url={server.url}", "--num-prompts=3", f"--plot={tmp_path / 'run.png'}"]) == 1


def test_after_ctrl_c_what_was_measured_is_still_written(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    with serving(OpenAiServer(hang_from=5)) as server:
        command = ["benchmarks.serve", f"--url={server.url}", "--request-rate=100", "--duration=600"]
        process = subprocess.Popen([sys.executable, "-m", *command, f"--output={file}"], cwd=ROOT)
        try:
            assert server.hanging.wait(60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    written = json.loads(file.read_text())
    assert 1 <= written["summary"]["completed"] == len(written["rows"]) <= 5
    assert written["summary"]["interrupted"] > 0
