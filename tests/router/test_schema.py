import json
from typing import Any

import pytest
from pydantic import ValidationError

from router.errors import InvalidJsonError, InvalidValueError, RouterError, answer_to
from router.schema import MAX_ENTRIES, MAX_NAME_CHARACTERS, parse_chat_request

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
NAN, INFINITY = float("nan"), float("inf")


def refusal(body: bytes) -> RouterError:
    with pytest.raises(RouterError) as caught:
        parse_chat_request(body)
    return caught.value


def refused_with(**fields: Any) -> RouterError:
    return refusal(json.dumps({**ASK, **fields}).encode())


def accepted(**fields: Any) -> Any:
    return parse_chat_request(json.dumps({**ASK, **fields}).encode())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [*ASK["messages"], {"role": "tool", "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood"),
        ({"temperature": NAN}, "temperature"),
        ({"temperature": INFINITY}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": NAN}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 5.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": NAN}, "max_tokens"),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"steps": 0}, "steps"),
        ({"steps": 2**40}, "steps"),
        ({"block_length": 0}, "block_length"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": NAN}, "threshold"),
        ({"remasking": "best"}, "remasking"),
        ({"kv_cache": "full"}, "kv_cache"),
        ({"kv_cache": "none", "use_dual_cache": True}, "kv_cache"),
        ({"kv_cache": "dual", "use_dual_cache": False}, "kv_cache"),
        ({"kv_cache": "none", "use_cache": True}, "kv_cache"),
        ({"use_cache": False, "use_dual_cache": True}, "use_dual_cache"),
        ({"use_cache": 1}, "use_cache"),
        ({"factor": -1}, "factor"),
        ({"factor": 1.0, "threshold": 0.9}, "factor"),
        ({"factor": 1e300}, "factor"),
        ({"cfg_scale": -0.5}, "cfg_scale"),
        ({"max_parallel_tokens": 0}, "max_parallel_tokens"),
        ({"top_k": -1}, "top_k"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"tempreature": 1}, "tempreature"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    error = refused_with(**fields)
    assert error.param == param
    assert error.message.startswith(param)
    assert answer_to(error).code == "invalid_value"


@pytest.mark.parametrize(
    "field",
    [
        *("stop", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "suffix"),
        *("tools", "response_format", "diffusing"),
    ],
)
def test_a_field_that_others_know_is_refused_as_unsupported_unless_it_is_null(field: str) -> None:
    error = refused_with(**{field: 1})
    assert (error.param, answer_to(error).code) == (field, "unsupported_parameter")
    assert accepted(**{field: None}).model == "m"


def test_a_value_that_others_know_is_refused_as_unsupported() -> None:
    error = refused_with(n=2)
    assert (error.param, answer_to(error).code) == ("n", "unsupported_parameter")


@pytest.mark.parametrize(
    ("fields", "cache"),
    [
        ({}, None),
        ({"kv_cache": "prefix"}, "prefix"),
        ({"use_cache": False}, "none"),
        ({"use_cache": True}, "prefix"),
        ({"use_dual_cache": True}, "dual"),
        ({"use_cache": True, "use_dual_cache": True, "kv_cache": "dual"}, "dual"),
        ({"use_cache": True, "use_dual_cache": False}, "prefix"),
        ({"use_dual_cache": False}, "prefix"),
        ({"use_cache": True, "kv_cache": "dual"}, "dual"),
        ({"use_dual_cache": False, "kv_cache": "none"}, "none"),
    ],
)
def test_a_cache_is_asked_for_by_its_name_or_by_fast_dllm_s_flags(fields: dict[str, Any], cache: str | None) -> None:
    assert accepted(**fields).cache == cache


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000),
        *(
            b'{"a": ' + b"9" * 5000 + b"}",
            b'{"\\ud800": 1, "model": "m", "messages": [{"role": "user", "content": "x"}]}',
        ),
    ],
    ids=range(9),
)
def test_what_is_not_a_json_object_is_refused_as_such(body: bytes) -> None:
    assert isinstance(refusal(body), InvalidJsonError)


def test_a_number_too_large_for_a_float_is_no_number() -> None:
    error = refusal(
        json.dumps({**ASK, "temperature": 0}).encode().replace(b'"temperature": 0', b'"temperature": 1e999')
    )
    assert error.param == "temperature"


def test_a_misspelt_field_is_told_its_neighbour() -> None:
    assert "temperature?" in refused_with(tempreature=1).message
    assert "content?" in refused_with(messages=[{"role": "user", "content": "x", "contents": "x"}]).message


def test_fields_that_say_nothing_about_the_reply_are_accepted() -> None:
    accepted(user="me", metadata={"a": "b"}, store=True, conversation_id="c", n=1)


def test_what_the_openai_client_sends_back_of_a_reply_is_accepted() -> None:
    said = {"role": "assistant", "content": "x", "refusal": None, "tool_calls": None, "audio": None}
    assert accepted(messages=[said]).messages[0].role == "assistant"


def test_content_may_come_in_parts() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    (message,) = accepted(messages=[{"role": "developer", "content": parts}]).messages
    assert message.for_template() == {"role": "system", "content": "one\ntwo"}


def test_a_negative_seed_is_its_own_seed() -> None:
    assert accepted(seed=-1).seed == 2**64 - 1
    assert accepted(seed=2**64 - 1).seed == 2**64 - 1


def test_both_spellings_of_max_tokens_mean_the_same() -> None:
    assert accepted(max_completion_tokens=5).reply_length == 5
    assert accepted(max_tokens=5).reply_length == 5
    assert accepted(max_tokens=5, max_completion_tokens=5).reply_length == 5


@pytest.mark.parametrize("messages", [[5] * 100, [{"role": "user", "content": [5] * 100}]])
def test_a_list_that_is_wrong_all_over_is_judged_by_its_first_item(messages: list[Any]) -> None:
    cause = refused_with(messages=messages).__cause__
    assert isinstance(cause, ValidationError)
    assert cause.error_count() == 1


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (ASK["messages"] * (MAX_ENTRIES + 1), "messages"),
        ([{"role": "user", "content": [{"type": "text", "text": ""}] * (MAX_ENTRIES + 1)}], "messages[0].content"),
    ],
)
def test_a_list_too_long_to_look_through_is_refused(messages: list[Any], param: str) -> None:
    error = refused_with(messages=messages)
    assert error.param == param
    assert error.message == f"{param} must not hold more than {MAX_ENTRIES} items."


def test_an_object_with_too_many_fields_is_refused_unread() -> None:
    error = refused_with(**{f"field{number}": 1 for number in range(MAX_ENTRIES)})
    assert isinstance(error, InvalidValueError)
    assert error.__cause__ is None


@pytest.mark.parametrize("fields", [{"x" * 10_000: 1}, {"metadata": {"x" * 10_000: 1}}])
def test_a_name_that_goes_on_for_ever_is_told_in_short(fields: dict[str, Any]) -> None:
    error = refused_with(**fields)
    assert "x" * MAX_NAME_CHARACTERS + "…" in error.message
    assert len(error.message) < 2 * MAX_NAME_CHARACTERS
    assert len(error.param or "") < 2 * MAX_NAME_CHARACTERS
