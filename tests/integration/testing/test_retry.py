import subprocess
import sys
from pathlib import Path

import pytest

from testing.folders import ROOT

FLAKY = """
from pathlib import Path

def test_second_time_lucky():
    seen = Path("seen")
    lucky = seen.exists()
    seen.touch()
    assert lucky
"""
FAILING = "def test_unlucky(): assert False\n"
PASSING = "def test_lucky(): pass\n"
CRASHING = "import os, pathlib\ndef test_crash():\n pathlib.Path('runs').open('a').write('x')\n os._exit(7)\n"
PARALLEL = ("-n2", "--max-worker-restart=0")


@pytest.fixture(params=[(), PARALLEL], ids=["one process", "several"])
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param  # type: ignore[no-any-return]


def run(folder: Path, flags: tuple[str, ...] = (), /, **files: str) -> tuple[int, str]:
    """Run the tests in these files; the exit code, and what was printed."""
    (folder / "pytest.ini").touch()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "testing.retry", *flags],
        cwd=folder,
        # No other plugins: the tests are over before some of them were imported.
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_what_fails_once_is_named_and_forgiven(tmp_path: Path, flags: tuple[str, ...]) -> None:
    code, said = run(tmp_path, flags, test_flaky=FLAKY, test_passing=PASSING)
    assert code == 0, said
    assert said.endswith("\nflaky: test_flaky.py::test_second_time_lucky\n")


def test_what_fails_twice_is_not_forgiven(tmp_path: Path, flags: tuple[str, ...]) -> None:
    code, said = run(tmp_path, flags, test_flaky=FLAKY, test_failing=FAILING)
    assert code == 1
    assert said.endswith("\nflaky: test_flaky.py::test_second_time_lucky\n")
    assert said.count("flaky: ") == 1


def test_a_file_that_cannot_be_collected_is_not_forgiven(tmp_path: Path, flags: tuple[str, ...]) -> None:
    code, said = run(tmp_path, flags, test_flaky=FLAKY, test_broken="import nothing_of_that_name\n")
    assert code != 0, said
    assert "flaky: " not in said


def test_a_crash_is_not_tried_again(tmp_path: Path, flags: tuple[str, ...]) -> None:
    code, said = run(tmp_path, flags, test_crashing=CRASHING, test_flaky=FLAKY)
    assert code != 0
    assert (tmp_path / "runs").read_text() == "x"
    assert "flaky: " not in said


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"test_broken": "import nowhere_to_be_found\n", "test_flaky": FLAKY}, 2),
        ({"conftest": "def pytest_runtest_setup(): raise KeyboardInterrupt\n", "test_passing": PASSING}, 2),
        ({"conftest": "def pytest_runtestloop(session): raise LookupError\n", "test_passing": PASSING}, 3),
        ({}, 5),
        ({"test_many": "import pytest\n@pytest.mark.parametrize('n', range(21))\ndef test_it(n): assert False\n"}, 1),
    ],
    ids=["not collected", "interrupted", "a mistake in pytest", "no tests", "too many"],
)
def test_what_says_more_about_the_run_than_about_a_test_fails_at_once(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    code, said = run(tmp_path, **files)
    assert code == expected, said
    assert "Again" not in said


def test_what_did_not_run_the_second_time_is_not_forgiven(tmp_path: Path) -> None:
    vanishing = FLAKY.replace("assert lucky", "assert lucky if not lucky else __import__('pytest').skip()")
    code, said = run(tmp_path, test_flaky=vanishing)
    assert code == 1
    assert "flaky: " not in said
