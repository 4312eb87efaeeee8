import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serve import main
from tests.integration.benchmarks.server import OpenAiServer, serving

PNG = b"\x89PNG"
BRIEF = ("--request-rate=100", "--duration=0.2")


def run(server: OpenAiServer, out: Path, *arguments: str) -> dict[str, Any]:
    with serving(server):
        assert main([f"--url={server.url}", f"--output={out / 'new' / 'run.json'}", *BRIEF, *arguments]) == 0
    written: dict[str, Any] = json.loads((out / "new" / "run.json").read_text())
    return written


def test_a_run_measures_every_request_and_says_on_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server, plot = OpenAiServer(), tmp_path / "run.png"
    written = run(server, tmp_path, f"--plot={plot}", "--input-len=100", "--goodput=e2el:60000")
    assert {"command", "machine", "cores", "python", "finished"} < written.keys()
    assert written["configuration"]["model"] == "first"
    load = written["load"]
    assert load["requests"] == load["completed"] == len(written["rows"]) > 5
    assert (written["input_tokens"], written["output_tokens"]) == (100, 64)
    assert (written["forward_passes"], written["tokens_per_forward_pass"]) == (4, 16)
    assert written["goodput"] == pytest.approx(load["completed_rate"])
    assert 0 < load["first_text"]["median"] <= load["latency"]["median"]
    assert all(len(row["texts"]) == 3 for row in written["rows"])
    assert not any("stream" in body for body in server.bodies[:2])  # by which it learns how words are counted
    assert all(body["stream"] and body["stream_options"] == {"include_usage": True} for body in server.bodies[2:])
    assert "completed, 0 failed" in capsys.readouterr().out
    assert plot.read_bytes().startswith(PNG)


def test_requests_differ_in_words_and_lengths_and_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def bodies(*arguments: str) -> set[str]:
        server = OpenAiServer()
        run(server, tmp_path, "--output-len=20", "--range-ratio=0.5", "--ignore-eos", *arguments)
        return {json.dumps(body) for body in server.bodies[2:]}

    asked = bodies()
    assert len(asked) > 5
    assert asked == bodies() != bodies("--seed=1")
    assert {json.loads(body)["max_tokens"] for body in asked} <= set(range(10, 31))
    assert all(json.loads(body)["ignore_eos"] for body in asked)


def test_failures_are_counted_by_kind_and_left_out_of_the_latencies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = OpenAiServer(refuse=frozenset([1, 3]), cut_off=frozenset([2]))
    written = run(server, tmp_path, f"--plot={tmp_path / 'run.png'}")
    told = {"server_overloaded": 2, "the stream ended before the reply did": 1}
    assert written["load"]["failures"] == told
    assert written["load"]["completed"] == written["load"]["requests"] - 3
    assert sum(row["error"] is not None for row in written["rows"]) == 3
    assert "failed: " in capsys.readouterr().out


def test_the_key_is_shown_and_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = OpenAiServer()
    run(server, tmp_path, "--model=second")
    assert server.keys == {"Bearer sk-secret"}
    assert {body["model"] for body in server.bodies} == {"second"}
    assert "sk-secret" not in (tmp_path / "new" / "run.json").read_text()


def test_a_server_that_does_not_count_is_measured_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = run(OpenAiServer(counts=False), tmp_path, "--input-len=20")
    assert written["load"]["completed"] > 5
    assert written["output_tokens"] is None
    assert "a word is taken for one" in capsys.readouterr().err


def test_a_request_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    written = run(OpenAiServer(hang_from=3), tmp_path, "--timeout=1")
    assert written["load"]["failures"].keys() == {"nothing more came within 1 s"}


def test_where_nothing_answers_it_says_so_and_fails() -> None:
    with pytest.raises(SystemExit, match=r"error: http://127\.0\.0\.1:1/v1/models names no model"):
        main(["--url=http://127.0.0.1:1/v1"])


def test_a_trial_that_is_refused_says_why() -> None:
    with serving(OpenAiServer(refuse=frozenset([-2]))) as server, pytest.raises(SystemExit, match="server_overloaded"):
        main([f"--url={server.url}"])


def test_where_no_request_is_completed_it_fails(tmp_path: Path) -> None:
    with serving(OpenAiServer(refuse=frozenset(range(100)))) as server:
        assert main([f"--url={server.url}", *BRIEF, f"--plot={tmp_path / 'run.png'}"]) == 1


def test_limits_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--goodput=tpot:5"])
    assert "must be like ttft:500,e2el:2000" in capsys.readouterr().err
