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


def test_a_cell_s_row_holds_every_figure() -> None:
    expected = (
        "| tiny | bfloat16 | dual | steps 128 | 4 | 100.0 (90.0 to 120.0) | 5.0 | 62% | 400 | 95.0 | 95% | 128.0 |"
    )
    assert report.SPEED.line(CELL) == expected
    assert [line.count("|") for line in report.SPEED.head.splitlines()] == [expected.count("|")] * 2


def test_what_was_skipped_stays_empty() -> None:
    cell = Cell(**{name: getattr(CELL, name) for name in Cell.__slots__} | ALONE)
    row = report.SPEED.line(cell)
    assert row == "| tiny | bfloat16 | dual | steps 128 | 4 | 100.0 (90.0 to 120.0) |  | 62% | 400 |  |  | 128.0 |"
    assert cell.record()["http_over_engine"] is None


def test_a_step_is_measured_against_the_larger_of_its_bounds() -> None:
    assert STEP.over_bound == pytest.approx(1.2)
    assert report.STEPS.line(STEP) == "| tiny | bfloat16 | block | 16 | 512 | 6.00 | 3.00 | 5.00 | 1.20 |"


def test_the_file_says_what_was_measured_how_and_on_what(tmp_path: Path) -> None:
    file = tmp_path / "new" / "speed.json"
    report.write(file, torch.device("cpu"), cells=[CELL.record()])
    written = json.loads(file.read_text())
    assert written["cells"][0]["engine"] == [90, 100, 120]
    assert written["cells"][0]["of_limit"] == 0.625
    assert written["torch"] == torch.__version__
    assert {"command", "machine", "threads", "device", "finished"} < written.keys()
