"""`python -m testing.retry [ARGUMENTS]`: run pytest, and then what failed once more, with nothing beside it.

A test that passes then is named as flaky and forgiven. One that fails twice is not; nor is anything that says more
about the run than about a test: a crash, a file that cannot be collected, no tests at all, or very many failures.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context

import pytest

MAX_RETRIED = 20
PHASES = ("setup", "call", "teardown")
EXIT_FAILED = 1


@dataclass(slots=True)
class Results:
    """The ids of tests; those of whole runs where they `crashed`."""

    exit_code: int = EXIT_FAILED
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    crashed: bool = False

    @property
    def retried(self) -> bool:
        if self.crashed or self.exit_code != pytest.ExitCode.TESTS_FAILED:
            return False
        return 0 < len(self.failed) <= MAX_RETRIED


class Recorder:
    """A plugin of pytest that keeps the results."""

    def __init__(self) -> None:
        self.results = Results()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # With several processes pytest goes on, and its exit code is that of a test that failed.
        self.results.crashed |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when not in PHASES:  # so pytest-xdist reports the test under which one of its processes died
            self.results.crashed = True
        elif report.failed and report.nodeid not in self.results.failed:
            self.results.failed.append(report.nodeid)
        elif report.passed and report.when == "call":
            self.results.passed.append(report.nodeid)


def main(arguments: Sequence[str]) -> int:
    first = run_tests(arguments)
    if not first.retried:
        return first.exit_code
    print(f"\nAgain, alone: {len(first.failed)} of the tests, which failed.", flush=True)  # noqa: T201
    # Markers have chosen among the tests already.
    second = run_tests(["-n0", "-m", "", *first.failed])
    flaky = [test for test in first.failed if test in second.passed and test not in second.failed]
    for test in flaky:
        print(f"flaky: {test}", flush=True)  # noqa: T201
    return second.exit_code if len(flaky) == len(first.failed) else EXIT_FAILED


def run_tests(arguments: Sequence[str]) -> Results:
    """Run pytest in a process of its own, which may crash."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(_run_here, list(arguments)).result()
        except BrokenProcessPool:
            return Results(crashed=True)


def _run_here(arguments: list[str]) -> Results:
    recorder = Recorder()
    recorder.results.exit_code = int(pytest.main(arguments, plugins=[recorder]))
    return recorder.results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
