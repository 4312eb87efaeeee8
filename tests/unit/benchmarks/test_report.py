import json
from pathlib import Path

import pytest
import torch

from benchmarks import report
from benchmarks.cell import Cell
from benchmarks.steps import Step

CELL = Cell(
    shape="tiny",
    dtype="bfloat16",
    cache="dual",
    rule="steps 128",
    concurrent=4,
    engine=(90.0, 100.0, 120.0),
    http=(81.0, 95.0, 120.0),
    oracle=20.0,
    limit=160.0,
    matrix_rate=4e11,
    operations=1e9,
    forward_passes=128.0,
)
ALONE = {"http": (), "oracle": None}
STEP = Step(
    shape="tiny",
    dtype="bfloat16",
    kind="block",
    concurrent=16,
    rows=512,
    steps=93,
    forward="EagerForward",
    taken=6.0,
    reading=3.0,
    arithmetic=5.0,
)


def test_a_cell_s_ratios_are_of_medians_and_http_s_of_neighbouring_rounds() -> None:
    assert CELL.engine_rate == 100
    assert CELL.http_rate == 95
    assert CELL.over_oracle == 5
    assert CELL.of_limit == 0.625
    assert CELL.http_over_engine == pytest.approx(0.95)


def test_a_step_is_measured_against_the_larger_of_its_bounds() -> None:
    assert STEP.over_bound == pytest.approx(1.2)


def test_what_was_skipped_has_no_ratios() -> None:
    cell = Cell(**{name: getattr(CELL, name) for name in Cell.__slots__} | ALONE)
    assert (cell.record()["http_over_engine"], cell.record()["over_oracle"]) == (None, None)
    assert report.SPEED.line(cell).count("|") == report.SPEED.line(CELL).count("|")


def test_the_file_says_what_was_measured_how_and_on_what(tmp_path: Path) -> None:
    file = tmp_path / "new" / "speed.json"
    report.write(file, torch.device("cpu"), cells=[CELL.record()])
    written = json.loads(file.read_text())
    assert written["cells"][0]["engine"] == [90, 100, 120]
    assert written["cells"][0]["of_limit"] == 0.625
    assert written["torch"] == torch.__version__
    assert {"command", "machine", "threads", "device", "finished"} < written.keys()
