from dataclasses import replace

import pytest

from benchmarks.speed import SPEED, Cell

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


def test_a_cell_s_ratios_are_of_medians_and_http_s_of_neighbouring_rounds() -> None:
    assert CELL.ratios == {
        "engine_rate": 100,
        "http_rate": 95,
        "over_oracle": 5,
        "of_limit": 0.625,
        "http_over_engine": pytest.approx(0.95),
    }


def test_what_was_skipped_has_no_ratios() -> None:
    cell = replace(CELL, http=(), oracle=None)
    assert (cell.ratios["http_over_engine"], cell.ratios["over_oracle"]) == (None, None)
    assert SPEED.line(cell).count("|") == SPEED.line(CELL).count("|")
