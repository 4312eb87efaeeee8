"""How the tests are spread over the processes of pytest-xdist."""

import os
from collections.abc import Sequence

import pytest

# Tests of the first tiers mostly wait, so more of them than there are cores may run at once. The slowest come first.
TIERS = ("stack", "integration", "unit")
PROCESSES_PER_CORE = 2
MOST_PROCESSES = 8  # each imports torch

# Of the whole session and slow to start. A test that has several of them goes with the first.
SLOW_FIXTURES = ("browser", "long_running", "url")


def processes_for(paths: Sequence[str], cores: int) -> int:
    """Return how many to start: none for a few files, which are through before these had begun."""
    if all(".py" in path for path in paths):
        return 0
    return min(PROCESSES_PER_CORE * cores, MOST_PROCESSES)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(items: list[pytest.Item]) -> None:
    """Put the slow tests first, and keep together those that share what is slow to start."""
    items.sort(key=_tier)  # stable
    for item in items:
        if isinstance(item, pytest.Function) and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))


def _tier(item: pytest.Item) -> int:
    folder = item.nodeid.split("/")[1]
    return TIERS.index(folder) if folder in TIERS else len(TIERS)


def _group(test: pytest.Function) -> str | None:
    scopes = {name: found[-1].scope for name, found in test._fixtureinfo.name2fixturedefs.items()}
    for name in SLOW_FIXTURES:
        if scopes.get(name) == "session":
            return name
    # In a unit test the fixtures of a module are cheap, and the time that it computes is not.
    if "module" in scopes.values() and not test.nodeid.startswith("tests/unit/"):
        return test.nodeid.partition("::")[0]
    return None
