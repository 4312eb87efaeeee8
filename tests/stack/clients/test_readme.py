import subprocess
import sys

import pytest

from tests.stack.clients.readme import asking, promised_output, snippets

SECONDS = 60


@pytest.mark.parametrize("snippet", snippets("python"))
def test_the_readme_s_code_prints_what_it_promises(snippet: str, url: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", asking(url, snippet)], check=True, stdout=subprocess.PIPE, text=True, timeout=SECONDS
    )
    assert said.stdout.strip() == promised_output(snippet)
