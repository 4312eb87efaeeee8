"""`litellm`, through which aider, DSPy and CrewAI send: what it asks for by itself, and when it turns to another model.

In a process of its own: it opens connections that it never closes, and takes seconds to be imported.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from testing.stack import MODEL

SECONDS = 120

# Each line of its output is the name of a question, and what came of it.
SCRIPT = """
import json, sys
import litellm

url, model = sys.argv[1:]
HERE = {"model": f"openai/{model}", "api_base": url, "api_key": "none"}
LONGER = {"model": "openai/longer", "api_key": "none", "mock_response": "from the longer model"}
LONG = [{"role": "user", "content": "river " * 2000}]
HUGE = [{"role": "user", "content": "river " * 100_000}]
CACHED = {"type": "text", "text": "Only respond with ORANGE", "cache_control": {"type": "ephemeral"}}
router = litellm.Router(
    num_retries=0,
    context_window_fallbacks=[{"short": ["longer"]}],
    model_list=[
        {"model_name": "short", "litellm_params": HERE},
        {"model_name": "longer", "litellm_params": LONGER},
    ],
)

def user(text, **more):
    return [{"role": "user", "content": text, **more}]

def text_of(reply):
    return reply.choices[0].message.content

def in_turns():
    first = litellm.completion(messages=user("My name is Ada."), **HERE)
    said = [*user("My name is Ada."), first.choices[0].message.model_dump(), *user("What is my name?")]
    return text_of(litellm.completion(messages=said, **HERE))

def streamed():
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = litellm.completion(messages=user("Count to 7"), **options, **HERE)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

def completed():
    there = {**HERE, "model": "text-completion-" + HERE["model"]}
    return litellm.text_completion(prompt="Count to 7", max_tokens=4, echo=True, **there).choices[0].text[:10]

def ask(messages, **options):
    return lambda: text_of(litellm.completion(messages=messages, **HERE, **options))

QUESTIONS = {
    "whole": ask(user("Spell river")),
    "marked for caching": ask([{"role": "system", "content": [CACHED]}, *user("Hello")]),
    "marked for caching as a message": ask(user("Spell sun", cache_control={"type": "ephemeral"})),
    "in turns": in_turns,
    "streamed": streamed,
    "completed": completed,
    "too many tokens": ask(LONG),
    "too many characters": ask(HUGE),
    "too long a reply": ask(user("Spell river"), max_tokens=1024),
    "too long a stream": ask(LONG, stream=True),
    "falls back": lambda: text_of(router.completion(model="short", messages=LONG)),
    "falls back for the reply": lambda: text_of(router.completion(model="short", messages=user("x"), max_tokens=1024)),
    "needs no fallback": lambda: text_of(router.completion(model="short", messages=user("Spell river"))),
    "asks for tools": ask(user("Spell river"), tools=[{"type": "function", "function": {"name": "spell"}}]),
}

for name, question in QUESTIONS.items():
    try:
        print(json.dumps([name, question()]))
    except Exception as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]))
"""


@pytest.fixture(scope="module")
def answers(url: str) -> dict[str, str]:
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, MODEL],
        env={**os.environ, **offline},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
    )
    lines: list[Any] = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("[")]
    return dict(lines)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("whole", "r-i-v-e-r"),
        ("marked for caching", "ORANGE"),
        ("marked for caching as a message", "s-u-n"),
        ("in turns", "Your name is Ada."),
        ("streamed", "1, 2, 3, 4, 5, 6, 7"),
        ("completed", "Count to 7"),
    ],
)
def test_what_it_sends_by_itself_is_answered(answers: dict[str, str], question: str, answer: str) -> None:
    assert answers[question] == answer


@pytest.mark.parametrize(
    "question", ["too many tokens", "too many characters", "too long a reply", "too long a stream"]
)
def test_it_knows_that_the_context_is_exceeded(answers: dict[str, str], question: str) -> None:
    assert answers[question].startswith("ContextWindowExceededError")
    assert "This model's maximum context length is 1024 tokens. However, " in answers[question]


@pytest.mark.parametrize("question", ["falls back", "falls back for the reply"])
def test_it_turns_to_a_model_that_holds_more(answers: dict[str, str], question: str) -> None:
    assert answers[question] == "from the longer model"


def test_it_turns_to_no_other_model_without_need(answers: dict[str, str]) -> None:
    assert answers["needs no fallback"] == "r-i-v-e-r"


def test_tools_are_refused_in_plain_words(answers: dict[str, str]) -> None:
    assert answers["asks for tools"].startswith("BadRequestError")
    assert "tools is not supported by this server" in answers["asks for tools"]
