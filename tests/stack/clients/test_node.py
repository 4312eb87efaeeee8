"""The official client for Node; what it is held to stands in node/openai.test.js."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from testing.stack import Stats
from testing.waiting import eventually
from tests.stack.clients.readme import asking, promised_output, snippets

FOLDER = Path(__file__).parent / "node"
INSTALL = (
    *("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
    *("--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
)
INSTALL_SECONDS = 120
SECONDS = 120
REQUESTS_LEFT = 3  # streams that are not read to their end, and replies that are not waited for


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder with the client in it."""
    missing = [program for program in ("node", "npm") if not shutil.which(program)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} cannot be found")
    if not is_installed():
        try:
            subprocess.run(INSTALL, cwd=FOLDER, check=True, timeout=INSTALL_SECONDS, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install the client within {INSTALL_SECONDS} seconds")
        except subprocess.CalledProcessError as failed:
            pytest.skip(f"npm could not install the client: {failed.stderr.strip().splitlines()[0]}")
    return FOLDER


def is_installed() -> bool:
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]["openai"]
    package = FOLDER / "node_modules" / "openai" / "package.json"
    return package.exists() and json.loads(package.read_text())["version"] == wanted


async def test_the_client_for_node_gets_what_it_expects(installed: Path, url: str, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    tests = await asyncio.create_subprocess_exec(
        *("node", "--test", "--test-reporter=spec", "openai.test.js"),
        cwd=installed,
        env={**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(tests.communicate(), SECONDS)
    assert tests.returncode == 0, said.decode()
    await eventually(lambda: stats().cancelled_requests_total >= before + REQUESTS_LEFT)


@pytest.mark.parametrize("snippet", snippets("js"))
async def test_the_readme_s_code_prints_what_it_promises(snippet: str, installed: Path, url: str) -> None:
    node = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "--eval", asking(url, snippet)), cwd=installed, stdout=subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(node.communicate(), SECONDS)
    assert said.decode() == promised_output(snippet)
