from pathlib import Path

import psutil
import pytest

from testing.repeat import busy_core, main, repeat

COUNTING = """
from pathlib import Path

def test_counts():
    runs = Path(__file__).with_name("runs")
    with runs.open("a") as file:
        file.write("x")
    assert len(runs.read_text()) != {fails_at}
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").touch()


def counting(folder: Path, fails_at: int) -> str:
    file = folder / "test_counting.py"
    file.write_text(COUNTING.format(fails_at=fails_at))
    return str(file)


def test_all_rounds_are_run_where_nothing_fails(tmp_path: Path) -> None:
    assert repeat([counting(tmp_path, fails_at=0)], rounds=3) == 0
    assert (tmp_path / "runs").read_text() == "xxx"


def test_the_first_failure_ends_it_and_its_round_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert repeat([counting(tmp_path, fails_at=2)], rounds=5) == 1
    assert (tmp_path / "runs").read_text() == "xx"
    assert capfd.readouterr().out.endswith("failed in round 2 of 5\n")


def test_tests_that_are_not_there_are_a_failure(tmp_path: Path) -> None:
    assert repeat([str(tmp_path / "test_nowhere.py")], rounds=2) == 4


def test_without_tests_it_asks_for_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "which tests?" in capsys.readouterr().err


def test_what_keeps_the_core_busy_ends_with_it() -> None:
    before = psutil.Process().children()
    with busy_core():
        (burning,) = (child for child in psutil.Process().children() if child not in before)
        assert burning.is_running()
    assert not burning.is_running()
