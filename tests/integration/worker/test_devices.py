import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from testing.folders import ROOT
from worker.devices import main


def test_it_tells_the_devices_without_a_configuration(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "worker.devices"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert asked.stdout == b"cpu\n"


def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    main()
    assert capsys.readouterr() == ("cuda:0\ncuda:1\n", "")


def test_a_driver_that_complains_leaves_the_cpu_and_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_available() -> bool:
        warnings.warn("CUDA initialization: the driver is too old\nsee here", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    main()
    assert capsys.readouterr() == ("cpu\n", "no GPU can be used: CUDA initialization: the driver is too old\n")


def test_a_driver_that_fails_leaves_the_cpu_and_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def device_count() -> int:
        raise RuntimeError("CUDA driver error: unknown")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", device_count)
    main()
    assert capsys.readouterr() == ("cpu\n", "no GPU can be used: CUDA driver error: unknown\n")
