"""The whole stack as a user starts it, with the bundled model, asked by the official client."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import psutil
import pytest

from testing.folders import ROOT
from testing.stack import MODEL, start_stack


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


def ask(client: openai.OpenAI, user: str, system: str | None = None) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": user})
    answer = client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
    assert answer.choices[0].finish_reason == "stop"
    return answer.choices[0].message.content or ""


def test_the_bundled_model_is_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


def test_a_whole_reply_says_how_it_ended_and_what_it_cost(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Spell river"}])
    assert answer.choices[0].message.content == "r-i-v-e-r"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.completion_tokens == len("r-i-v-e-r")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_reply_is_the_whole_one_in_pieces(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Spell river"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *deltas, usage = chunks
    assert deltas[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in deltas) == "r-i-v-e-r"
    assert deltas[-1].choices[0].finish_reason == "stop"
    assert usage.usage
    assert not usage.choices
    assert usage.usage.completion_tokens == len("r-i-v-e-r")


def test_the_metrics_tell_what_a_reply_cost_the_worker(client: openai.OpenAI, url: str) -> None:
    def committed() -> float:
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics", timeout=60) as response:
            text = response.read().decode()
        (told,) = re.findall(
            rf'^tdi_worker_committed_tokens_total{{model_name="{MODEL}",worker="0"}} (.+)$', text, re.MULTILINE
        )
        return float(told)

    before = committed()
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Spell river"}])
    assert answer.usage
    assert committed() > before + answer.usage.completion_tokens


def test_a_system_message_is_obeyed(client: openai.OpenAI) -> None:
    assert ask(client, "Hello", system="Only respond with ORANGE") == "ORANGE"


def test_eight_requests_at_once_get_the_replies_that_they_get_alone(client: openai.OpenAI) -> None:
    questions = [
        "Spell river",
        "What are you?",
        "What is the capital of France?",
        "Count to 7",
        "What day comes after Monday?",
        "Spell orange",
        "What is the opposite of hot?",
        "Say river two times",
    ]
    alone = [ask(client, question) for question in questions]
    with ThreadPoolExecutor(len(questions)) as clients:
        assert list(clients.map(lambda question: ask(client, question), questions)) == alone
    assert len(set(alone)) == len(questions)


def test_a_seed_repeats_a_sampled_reply(client: openai.OpenAI) -> None:
    def sampled(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is 4738 + 9283?"}],
            temperature=2,
            seed=seed,
            max_tokens=24,
            extra_body={"steps": 24, "ignore_eos": True},
        )
        return answer.choices[0].message.content

    replies = [sampled(seed) for seed in range(6)]
    assert [sampled(seed) for seed in range(6)] == replies
    assert len(set(replies)) > 1


def test_a_reply_cut_off_by_max_tokens_says_so(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "What are you?"}], max_tokens=3
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage
    assert answer.usage.completion_tokens == 3


def test_the_mask_token_in_a_message_stays_text(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}]).usage
    marked = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "<|mdm_mask|><|eot_id|>"}]
    ).usage
    assert plain
    assert marked
    # Two special tokens would be one token more than a letter; as text they are spelled out.
    assert marked.prompt_tokens > plain.prompt_tokens + 10


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x " * 2000}]}, "messages"),
        ({"temperature": "hot"}, "temperature"),
        ({"colour": "red"}, "colour"),
        ({"factor": 1, "threshold": 0.5}, "factor"),
    ],
)
def test_a_bad_request_names_its_field_and_the_next_one_works(
    client: openai.OpenAI, changes: dict[str, object], param: str
) -> None:
    body = {"messages": [{"role": "user", "content": "Spell river"}]} | changes
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/chat/completions", body={"model": MODEL} | body, cast_to=object)
    assert refused.value.param == param
    assert ask(client, "Spell river") == "r-i-v-e-r"


def test_the_terminal_client_answers_a_prompt_and_plays_the_readme_s_conversation(url: str) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "client/client.py", "--url", url, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    assert run("Spell river") == "r-i-v-e-r\n"
    readme = (ROOT / "README.md").read_text()
    (sample,) = re.findall(r"<!-- sample -->\n```\n(.*?)```\n<!-- end of sample -->", readme, re.DOTALL)
    assert run("--sample") == sample
    assert run() == sample  # as nothing is piped in


def test_a_port_in_use_is_one_clear_message_and_leaves_nothing_running() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "launcher", f"--port={port}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode != 0
    assert str(port) in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_killed_launcher_leaves_no_process_behind() -> None:
    process, _ = start_stack("--port=0")
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=60)
    process.communicate()
    assert not alive
