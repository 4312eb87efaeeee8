import pytest
import torch

from benchmarks.limit import Arithmetic
from benchmarks.operations import Pass, operations
from worker.models.llada import LladaConfig

CONFIG = LladaConfig(
    d_model=16,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    mlp_hidden_size=24,
    vocab_size=32,
    embedding_size=32,
    max_sequence_length=64,
).transformer


@pytest.fixture
def arithmetic() -> Arithmetic:
    return Arithmetic(CONFIG, torch.device("cpu"), torch.float32)


@pytest.fixture
def measured(arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Pass, int]]:
    """What is measured, on a machine that takes a second for a row and ten for a masked one, however many passes."""
    asked: list[tuple[Pass, int]] = []

    def seconds(one: Pass, together: int) -> float:
        asked.append((one, together))
        return one.rows + 10 * one.masked

    monkeypatch.setattr(arithmetic, "_seconds_of_products", seconds)
    return asked


def test_the_products_of_a_pass_run_and_take_time(arithmetic: Arithmetic) -> None:
    assert 0 < arithmetic.seconds(Pass(rows=8, attended=12, masked=3), together=2) < 1


def test_between_two_measured_numbers_of_masked_positions_time_is_in_proportion(
    arithmetic: Arithmetic, measured: list[tuple[Pass, int]]
) -> None:
    assert [arithmetic.seconds(Pass(6, 9, masked), 1) for masked in range(1, 7)] == [16, 26, 36, 46, 56, 66]
    assert [one.masked for one, _ in measured] == [1, 2, 4, 6]


def test_the_limit_shares_a_pass_among_as_many_requests_as_it_has_room_for(
    arithmetic: Arithmetic, measured: list[tuple[Pass, int]]
) -> None:
    whole, block = Pass(30, 30, 4), Pass(4, 30, 2)
    limit = arithmetic.limit([whole, block, block], concurrent=16, max_rows=100)
    assert measured == [(whole, 3), (block, 16)]
    assert limit.seconds == pytest.approx((30 + 40) / 3 + 2 * (4 + 20) / 16)
    assert limit.operations == operations(CONFIG, whole) + 2 * operations(CONFIG, block)


def test_a_canvas_larger_than_a_pass_may_be_runs_alone(
    arithmetic: Arithmetic, measured: list[tuple[Pass, int]]
) -> None:
    arithmetic.limit([Pass(300, 300, 4)], concurrent=16, max_rows=100)
    assert measured == [(Pass(300, 300, 4), 1)]
