"""The bundled model with chat templates that want something else than its own does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from testing.folders import DEMO, ROOT
from testing.stack import ANSWER_SECONDS, MODEL, STOP_SECONDS, running_stack

EXIT_START_FAILED = 2
PARTS = [{"type": "text", "text": "Spell river"}]
MESSAGES = [{"role": "user", "content": PARTS}]


def ask(url: str, path: str, **fields: object) -> dict[str, object]:
    body = json.dumps({"model": MODEL, **fields}).encode()
    request = Request(f"{url.removesuffix('/v1')}{path}", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=ANSWER_SECONDS) as response:
        answer: dict[str, object] = json.load(response)
    return answer


@pytest.fixture
def tokenizer_of_parts(tmp_path: Path) -> Path:
    """The model's tokenizer, with a template that reads the first part of each message."""
    shutil.copy(DEMO / "tokenizer.json", tmp_path)
    config = json.loads((DEMO / "tokenizer_config.json").read_text())
    config["chat_template"] = config["chat_template"].replace("message['content']", "message['content'][0]['text']")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return tmp_path


def test_what_the_user_says_reaches_a_template_that_reads_parts(url: str, tokenizer_of_parts: Path) -> None:
    with running_stack("--port=0", f"--tokenizer={tokenizer_of_parts}") as other:
        assert (
            ask(other, "/tokenize", messages=MESSAGES)["tokens"] == ask(url, "/tokenize", messages=MESSAGES)["tokens"]
        )
        reply = ask(other, "/v1/chat/completions", messages=MESSAGES)
    assert "r-i-v-e-r" in json.dumps(reply)


def test_a_template_that_can_never_work_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    own = json.loads((DEMO / "tokenizer_config.json").read_text())["chat_template"]
    file = tmp_path / "tools.jinja"
    file.write_text("{% if tools|length > 0 %}{{ tools }}{% endif %}" + own)
    command = [sys.executable, "-m", "launcher", "--port=0", f"--chat-template={file}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STOP_SECONDS, check=False)
    assert ended.returncode == EXIT_START_FAILED
    assert "the router refuses worker-0: the model's chat_template cannot be used: TypeError" in ended.stderr
