"""`lm-eval`: every back end of its own that speaks OpenAI's API, in an environment of its own."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from testing.folders import ROOT
from testing.stack import MODEL
from tests.stack.clients.readme import asking, snippets

pytestmark = pytest.mark.lm_eval

SECONDS = 600  # the first run installs it
(README_COMMAND,) = [snippet.replace("\\\n", "") for snippet in snippets("sh") if "lm-eval" in snippet]
UVX, *PROGRAM = shlex.split(README_COMMAND)[:5]
PROGRAM_WITH_TOKENIZER = (UVX, "--with", "transformers", *PROGRAM)
TASKS = Path(__file__).parent / "lm_eval"
TOKENIZER = f"tokenizer={ROOT / 'models' / 'demo'}"

CHOICE_TASK = """
include: {tasks}/tdi_demo.yaml
task: tdi_demo_choice
output_type: multiple_choice
doc_to_choice: ["yes", "no"]
doc_to_target: "yes"
metric_list:
  - metric: acc
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("uvx"):
        pytest.skip("uvx cannot be found")
    return tmp_path_factory.mktemp("hub")


def run(command: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    """Without a hub to download from; both streams are in `stdout`."""
    offline = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OPENAI_API_KEY": "none"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **offline},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def accuracy(command: list[str], cache: Path, output: Path) -> float:
    ended = run([*command, "--output_path", str(output)], cache)
    assert ended.returncode == 0, ended.stdout
    (results,) = output.rglob("results_*.json")
    scored = json.loads(results.read_text())["results"]["tdi_demo"]
    assert scored["sample_len"] == 10
    exact: float = scored["exact_match,none"]
    return exact


def test_the_readme_s_command_scores_the_demo_model(url: str, cache: Path, tmp_path: Path) -> None:
    assert accuracy(shlex.split(asking(url, README_COMMAND)), cache, tmp_path) >= 0.9


@pytest.mark.parametrize(
    ("backend", "arguments"),
    [
        ("openai-chat-completions", ""),
        ("local-completions", f",{TOKENIZER},num_concurrent=4"),
        ("openai-completions", f",{TOKENIZER},tokenizer_backend=huggingface"),
    ],
)
def test_the_other_back_ends_score_it_too(backend: str, arguments: str, url: str, cache: Path, tmp_path: Path) -> None:
    path = "chat/completions" if "chat" in backend else "completions"
    command = [
        *PROGRAM_WITH_TOKENIZER,
        *("--model", backend, "--model_args", f"model={MODEL},base_url={url}/{path}{arguments}"),
        *("--apply_chat_template", "--include_path", str(TASKS), "--tasks", "tdi_demo"),
    ]
    assert accuracy(command, cache, tmp_path) >= 0.9


def test_a_task_that_needs_likelihoods_fails_with_the_server_s_reason(url: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "choice.yaml").write_text(CHOICE_TASK.format(tasks=TASKS))
    arguments = f"model={MODEL},base_url={url}/completions,{TOKENIZER},max_retries=1"
    command = [
        *PROGRAM_WITH_TOKENIZER,
        *("--model", "local-completions", "--model_args", arguments),
        *("--include_path", str(tmp_path), "--tasks", "tdi_demo_choice", "--limit", "1"),
    ]
    ended = run(command, cache)
    assert ended.returncode != 0
    assert "this model gives the tokens of a prompt no probabilities" in ended.stdout
