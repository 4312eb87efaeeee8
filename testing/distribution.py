"""How the tests are spread over the processes of pytest-xdist."""

import os
from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests of the first tiers mostly wait, so more of them than there are cores may run at once. The slowest come first.
TIERS = ("tests/stack/", "tests/integration/", "tests/unit/")
WAITING_PER_CORE = 2
MAX_PROCESSES = 8  # each imports torch

# The tests of each row share what is slow to start: a stack, a browser, a worker, a server.
TOGETHER = (
    ("tests/stack/playground/",),
    ("tests/stack/client", "tests/stack/test_stack.py"),
    (
        "tests/stack/failures/test_configuration.py",
        "tests/stack/failures/test_router.py",
        "tests/stack/failures/test_workers.py",
    ),
    ("tests/stack/test_leaving.py",),
    ("tests/integration/worker/test_server.py",),
    ("tests/integration/router/test_conformance.py",),
)


class Scheduler(LoadScopeScheduling):
    """Sends a test to any process that is free, or to the one that has the tests it belongs with."""

    def _split_scope(self, nodeid: str) -> str:
        row = row_of(nodeid)
        return nodeid if row is None else TOGETHER[row][0]


def processes_for(paths: Sequence[str], cores: int) -> int:
    """Return how many to start: none for a few files, which are through before these had begun."""
    if all(".py" in path for path in paths):
        return 0
    waiting = not all(path.rstrip("/").endswith("tests/unit") or "tests/unit/" in path for path in paths)
    return min(cores * WAITING_PER_CORE if waiting else cores, MAX_PROCESSES)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slowest_first(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (_tier(item.nodeid), _row_or_last(item.nodeid)))  # else they stay in order


def row_of(nodeid: str) -> int | None:
    return next((number for number, row in enumerate(TOGETHER) if nodeid.startswith(row)), None)


def _row_or_last(nodeid: str) -> int:
    row = row_of(nodeid)
    return len(TOGETHER) if row is None else row


def _tier(nodeid: str) -> int:
    return next((number for number, tier in enumerate(TIERS) if nodeid.startswith(tier)), len(TIERS))
