import os
import subprocess
import sys

import pytest

from tests.stack.clients.readme import asking, promised_output, snippets

SECONDS = 60


@pytest.mark.parametrize("snippet", snippets("python"))
def test_the_readme_s_code_prints_what_it_promises(snippet: str, url: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", asking(url, snippet)],
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # its prices come from the internet otherwise
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
    )
    assert said.stdout.strip() == promised_output(snippet)
