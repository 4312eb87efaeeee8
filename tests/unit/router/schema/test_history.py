"""Conversations as libraries send them back: fields of messages have no effect, and whatever else would is refused."""

import json
from typing import Any

import pytest
from openai.types import chat
from structlog.testing import capture_logs

from router.errors import RouterError, UnsupportedParameterError
from router.schema.chat import ChatRequest
from router.schema.fields import MAX_ENTRIES, MAX_NAME_CHARACTERS
from router.schema.parsing import parse
from router.schema.tolerance import MAX_DROPPED_NAMES

USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "spell", "arguments": "{}"}}


def accepted(**fields: Any) -> Any:
    return parse(ChatRequest, json.dumps({"model": "m", "messages": [USER], **fields}).encode())


def refusal(**fields: Any) -> RouterError:
    with pytest.raises(RouterError) as caught:
        accepted(**fields)
    return caught.value


def fields_of(kind: type[Any]) -> set[str]:
    return {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}


@pytest.mark.parametrize(
    "message",
    [
        # The openai package: `reply.choices[0].message.model_dump()`.
        {
            "role": "assistant",
            "content": "x",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
        },
        # OpenAI's newer fields, and of answers that cite or speak.
        {"role": "assistant", "content": "x", "annotations": [{"type": "url_citation"}], "audio": {"id": "a"}},
        # vLLM, SGLang, DeepSeek, OpenRouter: thoughts that came with an answer.
        {"role": "assistant", "content": "x", "reasoning_content": "so", "reasoning": "so"},
        {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "so"}]},
        {"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking", "signature": "s"}]},
        # litellm, which aider sends through.
        {"role": "assistant", "content": "x", "provider_specific_fields": {"refusal": None}, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": "x", "cache_control": {"type": "ephemeral"}},
        # OpenAI's own marks on parts.
        {
            "role": "user",
            "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}],
        },
        # Cline, and Roo Code with it.
        {"role": "assistant", "content": [{"type": "text", "text": "x"}], "ts": 1767225600},
        # Open WebUI, which keeps what its database has.
        {"id": "0b1", "parentId": None, "childrenIds": ["0b2"], "role": "user", "content": "x", "timestamp": 1},
        {"role": "assistant", "content": "x", "models": ["m"], "done": True, "info": {"total_duration": 1}},
        # LangChain, and the Vercel AI SDK.
        {"role": "assistant", "content": "x", "additional_kwargs": {}, "response_metadata": {}, "id": "run-1"},
        {"role": "assistant", "content": "x", "parts": [{"type": "text", "text": "x"}], "createdAt": "2026-01-01"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "x", "providerOptions": {"a": {}}, "annotations": []}],
        },
        # The Responses API and Letta.
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": "x"},
        {"role": "user", "content": "x", "otid": "1", "sender_id": None, "group_id": None},
        # A call beside which something was said.
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        {"role": "assistant", "content": "Let me see.", "function_call": CALL["function"]},
        # Whatever comes next.
        {"role": "user", "content": "x", "weight": 0, "prefix": True, "": 1, "ключ": 1},
    ],
)
def test_what_a_message_has_besides_is_accepted_and_changes_nothing(message: dict[str, Any]) -> None:
    (read,) = accepted(messages=[message]).messages
    text = message["content"] if isinstance(message["content"], str) else message["content"][0]["text"]
    assert read.for_template() == {"role": message["role"], "content": text}


@pytest.mark.parametrize(
    "kind",
    [
        chat.ChatCompletionAssistantMessageParam,
        chat.ChatCompletionDeveloperMessageParam,
        chat.ChatCompletionMessage,
        chat.ChatCompletionSystemMessageParam,
        chat.ChatCompletionUserMessageParam,
    ],
)
def test_no_field_of_openai_s_messages_is_refused(kind: type[Any]) -> None:
    others = fields_of(kind) - {"role", "name", "content", "model_config"}
    accepted(messages=[{**USER, **{key: [CALL] for key in others}}])


def test_no_field_of_openai_s_text_parts_is_refused() -> None:
    others = fields_of(chat.ChatCompletionContentPartTextParam)
    accepted(messages=[{"role": "user", "content": [{**{key: {} for key in others}, "type": "text", "text": "x"}]}])


@pytest.mark.parametrize(
    "content",
    [{"content": None}, {"content": ""}, {"content": []}, {"content": [{"type": "text", "text": ""}]}, {}],
)
@pytest.mark.parametrize("call", ["tool_calls", "function_call"])
def test_a_message_that_is_nothing_but_a_call_is_refused_as_such(content: dict[str, Any], call: str) -> None:
    error = refusal(messages=[USER, {"role": "assistant", call: [CALL], **content}])
    assert isinstance(error, UnsupportedParameterError)
    assert error.param == f"messages[1].{call}"
    assert "the message has no other content" in error.message


@pytest.mark.parametrize("role", ["tool", "function"])
def test_the_result_of_a_call_is_refused_as_such(role: str) -> None:
    error = refusal(messages=[USER, {"role": role, "tool_call_id": "call_1", "content": "42"}])
    assert isinstance(error, UnsupportedParameterError)
    assert error.param == "messages[1].role"
    assert f'"{role}"' in error.message


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "video_url", "video_url": {"url": "x"}},
        {"type": "refusal", "refusal": "no"},
        {"type": "thinking", "thinking": "so"},
        {"type": "tool_result", "content": "42"},
        {"type": "x" * 10_000, "text": "x"},
    ],
)
def test_a_part_that_is_no_text_is_refused_by_its_type(part: dict[str, Any]) -> None:
    error = refusal(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}, part]}])
    assert isinstance(error, UnsupportedParameterError)
    assert error.param == "messages[0].content[1].type"
    assert part["type"][:MAX_NAME_CHARACTERS] in error.message
    assert len(error.message) < 200


def test_one_line_names_what_was_dropped() -> None:
    part = {"type": "text", "text": "the secret", "cache_control": {"type": "the secret"}}
    message = {"role": "user", "content": [part] * 3, "audio": None, "id": "the secret"}
    with capture_logs() as logs:
        accepted(messages=[message] * 3)
    assert [line["fields"] for line in logs] == [["cache_control", "id"]]
    assert {line["log_level"] for line in logs} == {"debug"}
    assert "secret" not in str(logs)


def test_nothing_is_said_where_nothing_was_dropped() -> None:
    with capture_logs() as logs:
        accepted(messages=[{**USER, "refusal": None}])
    assert logs == []


def test_the_line_has_a_bound() -> None:
    with capture_logs() as logs:
        accepted(messages=[{**USER, **{f"{number:04}" * 1000: 1 for number in range(100)}}] * 5)
    (line,) = logs
    assert len(line["fields"]) == MAX_DROPPED_NAMES
    assert max(map(len, line["fields"])) <= MAX_NAME_CHARACTERS + 1


def test_what_is_dropped_is_not_looked_into() -> None:
    wide = {f"field{number}": 1 for number in range(MAX_ENTRIES + 1)}
    accepted(messages=[{**USER, "junk": wide}])
    error = refusal(messages=[{**USER, **wide}])
    assert f"more than {MAX_ENTRIES} fields" in error.message


def test_the_request_itself_has_no_history() -> None:
    for name in ("refusal", "annotations", "tool_calls", "reasoning_content", "id", "status"):
        error = refusal(**{name: "x"})
        assert (error.param, error.message) == (name, f"{name} is not a known field.")


@pytest.mark.parametrize("name", ["José", "ada.lovelace", "@ada", "名前", "a", "a" * 64, "o'neill", "a:b[1]{2}", "😀"])
def test_a_speaker_has_any_name_that_openai_takes(name: str) -> None:
    assert accepted(messages=[{**USER, "name": name}]).messages[0].name == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "a\n", "a\u00a0b", "\u2028", "a\tb", "a" * 65),
        *("<", "a>", "a|b", "<|eot_id|>", "</s>", "a/b", "a\\b", "\ud800"),
    ],
)
def test_a_name_that_could_be_a_token_or_break_a_line_is_refused(name: str) -> None:
    assert refusal(messages=[{**USER, "name": name}]).param == "messages[0].name"
