import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality, speed
from benchmarks.__main__ import main
from benchmarks.shapes import SHAPES, Rule, Shape
from tests.unit.benchmarks.tiny import NETWORK

PNG = b"\x89PNG"
TINY = Shape(
    name="tiny",
    network=NETWORK,
    prompt=40,
    gen_length=16,
    block_length=8,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    monkeypatch.setattr(speed, "MIN_SECONDS", 0)
    monkeypatch.setattr(quality, "RULES", (Rule("threshold", 0.9), Rule("steps", 32), Rule("steps", 16)))


def run(out: Path, arguments: str, result: str) -> dict[str, Any]:
    main([*arguments.split(), f"--out={out}"])
    written: dict[str, Any] = json.loads((out / result).read_text())
    return written


def test_a_run_measures_every_cell_against_the_oracle_and_the_limit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cells = run(tmp_path, "--shape=tiny --only=speed --skip-http --rounds=2 --concurrent=1,3", "speed.json")["cells"]
    settings = {(cell["cache"], cell["rule"], cell["concurrent"]) for cell in cells}
    rules = ("steps 16", "threshold 0.9")
    assert settings == {(cache, rule, n) for cache in ("none", "prefix", "dual") for rule in rules for n in (1, 3)}
    for cell in cells:
        assert len(cell["engine"]) == 2
        assert cell["over_oracle"] == pytest.approx(cell["engine_rate"] / cell["oracle"])
        assert cell["of_limit"] == pytest.approx(cell["engine_rate"] / cell["limit"])
        assert cell["operations"] > 0
        assert cell["http_rate"] is None
        assert (cell["forward_passes"] == 16) if cell["rule"] == "steps 16" else (2 <= cell["forward_passes"] <= 16)
    assert len(capfd.readouterr().out.splitlines()) == len(cells) + 2
    assert (tmp_path / "speed-tiny.png").read_bytes().startswith(PNG)


def test_steps_are_timed_over_whole_canvases_and_over_blocks(tmp_path: Path) -> None:
    written = run(tmp_path, "--shape=tiny --only=steps --concurrent=2", "steps.json")
    steps = [(step["kind"], step["rows"], step["steps"]) for step in written["steps"]]
    assert steps == [("full", 2 * 56, 1), ("block", 2 * 8, 7)]
    for step in written["steps"]:
        assert step["over_bound"] == pytest.approx(step["taken"] / max(step["reading"], step["arithmetic"]))


def test_quality_is_accuracy_beside_the_passes_that_it_took(tmp_path: Path) -> None:
    arguments = "--shape=demo --only=quality --conversations=1 --cache=none,dual"
    points = run(tmp_path, arguments, "quality.json")["points"]
    assert [(point["cache"], point["rule"], point["value"]) for point in points] == [
        (cache, rule, value)
        for cache in ("none", "dual")
        for rule, value in (("threshold", 0.9), ("steps", 32), ("steps", 16))
    ]
    for point in points:
        assert point["accuracy"] == pytest.approx(sum(point["tasks"].values()) / len(point["tasks"]))
        assert point["accuracy"] > 0.8
        assert 1 <= point["forward_passes"] <= 32
    assert (tmp_path / "quality.png").read_bytes().startswith(PNG)
