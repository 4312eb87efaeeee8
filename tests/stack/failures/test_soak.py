"""A short soak: a few faults at random, one upon the other."""

import json
from pathlib import Path

import pytest

from testing.faults.__main__ import main


def test_a_few_faults_at_random_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--faults=6", "--minutes=0.25", "--requests-in-flight=4", "--seed=1"]
    assert main([*flags, f"--out={tmp_path}/soak.json", f"--log={tmp_path}/log"]) == 0, capsys.readouterr().out
    figures = json.loads((tmp_path / "soak.json").read_text())
    assert sum(figures["faults"].values()) == 6
    assert figures["requests"]["right"] > 10
    assert "All is as it has to be." in capsys.readouterr().out
