"""What docs/workers.md names has to exist."""

import re

from testing.folders import DOCS
from textdiffusion.leaves import leaves
from textdiffusion.rpc import SERVICE_NAME
from worker.settings import WorkerRoot

PAGE = (DOCS / "workers.md").read_text(encoding="utf-8")


def test_every_variable_is_a_setting() -> None:
    named = set(re.findall(r"TDI_\w+", PAGE))
    assert len(named) > 10
    assert named <= {leaf.variable for leaf in leaves(WorkerRoot)}


def test_every_flag_of_a_worker_exists() -> None:
    named = {
        flag for command in re.findall(r"python -m worker (.*)", PAGE) for flag in re.findall(r"--[\w-]+", command)
    }
    assert named >= {"--model", "--listen", "--print-config"}
    assert named <= {leaf.flag for leaf in leaves(WorkerRoot)} | {"--help", "--print-config", "--check"}


def test_the_service_of_the_readiness_probe_is_the_worker_s() -> None:
    assert f"service: {SERVICE_NAME} }}" in PAGE
