"""Stacks whose workers are stood in for, as the real one would not fail in the way that is wanted."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testing.faults.stack import Configuration, Stack, folder_for, served
from testing.folders import ROOT

FAKES = Path(__file__).parent / "fakes"
REPLY = "It serves on."
GRACE_SECONDS = 600  # whoever ends sooner has been made to


def configured(*, workers: int, **launcher: float) -> Configuration:
    """What such a stack is started with."""
    return Configuration(models=[served(workers=workers)], launcher={"grace_seconds": GRACE_SECONDS, **launcher})


@contextmanager
def standing_in(*, crash_budget: int = 5, unhealthy_seconds: float = 10, **workers: list[str]) -> Iterator[Stack]:
    """A stack, not started yet, of workers each of which does at each of its starts what is said of it."""
    configuration = configured(workers=len(workers), crash_budget=crash_budget, unhealthy_seconds=unhealthy_seconds)
    told = {name.replace("_", "-"): does for name, does in workers.items()}
    paths = {"PYTHONPATH": f"{FAKES}{os.pathsep}{ROOT}", "FAKE_WORKERS": json.dumps(told)}
    with folder_for(configuration, paths) as stack:
        yield stack
