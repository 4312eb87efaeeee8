"""The page's modules that need no browser. Beside this file stand their tests, for `node --test` to run."""

import subprocess
from pathlib import Path

import playwright
import pytest

NODE = Path(playwright.__file__).parent / "driver" / "node"  # comes with Playwright, so each machine has the same one
TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))
PATIENCE_SECONDS = 120


@pytest.mark.skipif(not NODE.exists(), reason="the page's modules are NOT tested: this Playwright brings no Node.js")
def test_the_modules_of_the_page_pass_their_own_tests() -> None:
    command = [NODE, "--test", "--test-isolation=none", *TESTS]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
