"""The commands in the page of the API answer what stands below them."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from testing.folders import ROOT

DOCUMENTED_URL = "http://localhost:3001"
EXAMPLES = re.findall(
    r"^```sh\n(curl .*?)```\n(?:\n```json\n(.*?)```)?", (ROOT / "docs/api.md").read_text(), re.DOTALL | re.MULTILINE
)
CURL = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }'
# Another time, another id; the model may be trained anew, and need another number of steps for the same reply.
VARYING = ("id", "created", "system_fingerprint", "forward_passes")
SECONDS = 60

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_a_command_in_the_page_of_the_api_is_answered_as_shown(url: str, command: str, shown: str) -> None:
    script = f"{CURL}\n{command.replace(DOCUMENTED_URL, url.removesuffix('/v1'))}"
    told = subprocess.run(["/bin/sh", "-ec", script], check=True, timeout=SECONDS, stdout=subprocess.PIPE).stdout
    assert told.endswith(b"data: [DONE]\n\n") if " -N " in command else json.loads(told)
    if shown:
        assert without_what_varies(json.loads(told)) == without_what_varies(json.loads(shown))


def test_the_page_of_the_api_shows_commands_and_their_answers() -> None:
    assert len(EXAMPLES) > 5
    assert sum(bool(shown) for _, shown in EXAMPLES) > 3


def without_what_varies(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: key if key in VARYING else without_what_varies(inner) for key, inner in value.items()}
    return [without_what_varies(inner) for inner in value] if isinstance(value, list) else value
