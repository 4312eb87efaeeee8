import pytest

from testing.distribution import TIERS, TOGETHER, processes_for, row_of
from testing.folders import ROOT


@pytest.mark.parametrize(
    ("paths", "processes"),
    [
        (["tests"], 4),
        (["tests/unit"], 2),
        (["/checkout/tests/unit/"], 2),
        (["tests/unit/worker", "tests/unit/router"], 2),
        (["tests/unit", "tests/stack"], 4),
        (["tests/unit/worker/test_page.py"], 0),
        (["tests/stack/test_stack.py::test_a_seed_repeats_a_sampled_reply", "tests/stack/test_traces.py"], 0),
        (["tests/stack/test_stack.py", "tests/unit"], 4),
    ],
)
def test_tests_that_compute_get_a_process_per_core_those_that_wait_two_and_a_few_files_none(
    paths: list[str], processes: int
) -> None:
    assert processes_for(paths, cores=2) == processes


def test_many_cores_do_not_make_many_processes() -> None:
    assert processes_for(["tests"], cores=64) == 8


def test_those_who_share_a_stack_run_together_and_the_others_anywhere() -> None:
    assert (
        row_of("tests/stack/clients/test_curl.py::test_it") == row_of("tests/stack/test_stack.py::test_it") is not None
    )
    assert row_of("tests/stack/test_traces.py::test_it") is None


def test_what_runs_together_and_the_tiers_are_there() -> None:
    for place in (*TIERS, *(place for row in TOGETHER for place in row)):
        assert list(ROOT.glob(f"{place.rstrip('/')}*")), place
