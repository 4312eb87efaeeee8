"""The whole measurement, with real processes and at rates that any machine can bear."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.event_loop import run
from benchmarks.overhead import measuring, processes
from benchmarks.overhead.__main__ import main
from benchmarks.overhead.measuring import Shape, opened
from benchmarks.overhead.processes import running

SHAPE = Shape(prompt_tokens=64, reply_tokens=20, updates=3)
BRIEF = ["--seconds=1", "--rounds=1", "--climb-seconds=1", "--rate=20", "--rates=20,10", "--stream-rates=10"]


@pytest.fixture(autouse=True)
def _short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WARM_UP_SECONDS", 0.1)


def test_it_measures_all_ways_to_the_worker_and_climbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*BRIEF, f"--out={tmp_path}", "--", "--log-level=warning"])
    written: dict[str, Any] = json.loads((tmp_path / "router.json").read_text())
    ways = [(one["target"], one["stream"]) for one in written["compared"]]
    assert ways == [("direct", False), ("router", False), ("hello", False), ("direct", True), ("router", True)]
    everything = [*written["compared"], *written["climbed"]]
    assert sum(Counter(one["failures"]).total() for one in everything) == 0
    assert all(one["requests"] > 0 and one["latency"]["median"] > 0 for one in everything)
    assert all((one["first"] is not None) == one["stream"] for one in everything)
    assert (written["climbed"][0]["rate"], written["climbed"][-1]["stream"]) == (10, True)
    assert [row["quantile"] for row in written["added"]] == ["median", "p99"] * 3
    assert written["configuration"]["router_flags"] == ["--log-level=warning"]
    assert (tmp_path / "router.png").exists()
    assert "added" in capsys.readouterr().out


def test_a_worker_that_answers_something_else_is_not_measured() -> None:
    async def check() -> None:
        async with opened(started, Shape(prompt_tokens=64, reply_tokens=21, updates=3)) as bench:
            await bench.check()

    with (
        running(reply_tokens=SHAPE.reply_tokens, updates=SHAPE.updates, router_flags=()) as started,
        pytest.raises(RuntimeError, match="gives no reply of 21 tokens"),
    ):
        run(check())


def test_a_process_that_does_not_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: the router ended with status \d:\n.*--nonsense"):
        main([f"--out={tmp_path}", "--", "--nonsense"])


def test_a_router_that_finds_no_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "START_SECONDS", 1)
    with (
        pytest.raises(RuntimeError, match="the router does not find its worker"),
        running(reply_tokens=1, updates=1, router_flags=["--workers=127.0.0.1:1"]),
    ):
        pass
