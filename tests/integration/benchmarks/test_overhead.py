"""The whole measurement, with real processes and at rates that any machine can bear."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import run_precisely
from benchmarks.overhead import measuring
from benchmarks.overhead.__main__ import main
from benchmarks.overhead.measuring import opened, started

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
    loads = [one["load"] for one in everything]
    assert sum(Counter(load["failures"]).total() for load in loads) == 0
    assert all(load["requests"] > 0 and load["latency"]["median"] > 0 for load in loads)
    assert all((one["load"]["first_text"] is not None) == one["stream"] for one in everything)
    assert (written["climbed"][0]["rate"], written["climbed"][-1]["stream"]) == (10, True)
    assert [row["quantile"] for row in written["added"]] == ["median", "p99"] * 3
    assert written["configuration"]["router_flags"] == ["--log-level=warning"]
    assert (tmp_path / "router.png").exists()
    assert "added" in capsys.readouterr().out


def test_a_worker_that_answers_something_else_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with opened(processes) as bench:
            monkeypatch.setattr(measuring, "REPLY_TOKENS", 21)
            await bench.check()

    with started(tmp_path, ()) as processes, pytest.raises(RuntimeError, match="gives no reply of 21 tokens"):
        run_precisely(check())


def test_a_router_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: the router does not serve:\n[^$]*--nonsense"):
        main([f"--out={tmp_path}", "--", "--nonsense"])


def test_a_router_that_finds_no_worker_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "START_SECONDS", 1)
    with (
        pytest.raises(RuntimeError, match="the router does not serve"),
        started(tmp_path, ["--workers=127.0.0.1:1"]),
    ):
        pass
