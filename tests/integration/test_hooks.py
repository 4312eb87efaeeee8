"""The hook that `just hooks` installs looks at what is staged, and at nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testing.folders import ROOT

GIT = shutil.which("git") or "git"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run([GIT, "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".hooks").mkdir()
    shutil.copy(ROOT / ".hooks" / "pre-commit", tmp_path / ".hooks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".gitignore").write_text(".ruff_cache\n")
    subprocess.run([GIT, "-C", tmp_path, "config", "core.hooksPath", ".hooks"], check=True)
    return tmp_path


def commit(checkout: Path, *files: str) -> "subprocess.CompletedProcess[str]":
    subprocess.run([GIT, "-C", checkout, "add", "--", *files], check=True)
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(
        [GIT, "-C", checkout, *identity, "commit", "--quiet", "-m", "x"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "UV_PROJECT": str(ROOT), "UV_PROJECT_ENVIRONMENT": sys.prefix},
    )


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not on the PATH, and the hook needs it")
def test_what_is_staged_is_checked_and_what_is_not_is_left_alone(checkout: Path) -> None:
    (checkout / "good one.py").write_text('"""A module."""\n')
    (checkout / "bad.py").write_text("import os,sys\n")
    good = commit(checkout, "good one.py", ".gitignore")
    assert good.returncode == 0, good.stderr
    bad = commit(checkout, "bad.py")
    assert bad.returncode != 0
    assert "bad.py" in bad.stdout + bad.stderr
    assert "good one.py" not in bad.stdout
