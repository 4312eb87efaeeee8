import json
import threading
from typing import Any

import pytest
from pydantic import ValidationError, model_validator

from router.errors import InvalidJsonError, InvalidValueError, RouterError, answer_to
from router.schema.chat import ChatRequest
from router.schema.completions import CompletionRequest
from router.schema.fields import (
    MAX_CHOICES,
    MAX_ENTRIES,
    MAX_NAME_CHARACTERS,
    MAX_STOP_CHARACTERS,
    MAX_STOPS,
    TOKEN_IDS,
    Strict,
)
from router.schema.parsing import INLINE_BYTES, parse, parse_body

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
NAN, INFINITY = float("nan"), float("inf")


def refusal(body: bytes, kind: Any = ChatRequest) -> RouterError:
    with pytest.raises(RouterError) as caught:
        parse(kind, body)
    return caught.value


def refused_with(**fields: Any) -> RouterError:
    return refusal(json.dumps({**ASK, **fields}).encode())


def accepted(**fields: Any) -> Any:
    return parse(ChatRequest, json.dumps({**ASK, **fields}).encode())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 5}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [*ASK["messages"], {"role": "User", "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": 5}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]},
            "messages[0].content[0].text",
        ),
        ({"messages": [{"role": "user", "content": "x", "name": "<|eot_id|>"}]}, "messages[0].name"),
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
        ({"n": MAX_CHOICES + 1}, "n"),
        ({"stop": 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"stop": "\ud800"}, "stop"),
        ({"stop": ["a"] * (MAX_STOPS + 1)}, "stop"),
        ({"stop": "a" * (MAX_STOP_CHARACTERS + 1)}, "stop"),
        ({"logprobs": 5}, "logprobs"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 5}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"²": 1}}, "logit_bias"),
        ({"logit_bias": {"1000000000": 1}}, "logit_bias"),
        ({"logit_bias": {"1\n": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 1, "01": 2}}, "logit_bias"),
        ({"logit_bias": {"00": 1}}, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"1": NAN}}, "logit_bias"),
        ({"logit_bias": {"1": "1"}}, "logit_bias"),
        ({"logit_bias": {"1": True}}, "logit_bias"),
        ({"logit_bias": {str(number): 1 for number in range(1025)}}, "logit_bias"),
        ({"diffusing": True}, "diffusing"),
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
        ({"top_k": -2}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"canvas": "shrink"}, "canvas"),
        ({"canvas": "grow", "cfg_scale": 1}, "canvas"),
        ({"steps_per_block": 0}, "steps_per_block"),
        ({"steps_per_block": 4, "steps": 4}, "steps_per_block"),
        ({"min_parallel_tokens": 0}, "min_parallel_tokens"),
        ({"min_parallel_tokens": 4, "max_parallel_tokens": 3}, "min_parallel_tokens"),
        ({"min_p": -0.1}, "min_p"),
        ({"min_p": 1.1}, "min_p"),
        ({"min_p": NAN}, "min_p"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
        ({"remasking": "origin"}, "remasking"),
        ({"end_of_thinking_boost": -1001}, "end_of_thinking_boost"),
        ({"end_of_thinking_boost": 1001}, "end_of_thinking_boost"),
        ({"end_of_thinking_power": -1}, "end_of_thinking_power"),
        ({"end_of_thinking_power": 101}, "end_of_thinking_power"),
        ({"thinking_budget": 0}, "thinking_budget"),
        ({"end_of_thinking_ids": 5}, "end_of_thinking_ids"),
        ({"end_of_thinking_ids": [5, -1]}, "end_of_thinking_ids[1]"),
        ({"end_of_thinking_ids": [5] * 33}, "end_of_thinking_ids"),
        ({"tempreature": 1}, "tempreature"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    error = refused_with(**fields)
    assert error.param == param
    assert error.message.startswith(param)
    assert answer_to(error).code == "invalid_value"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("presence_penalty", 0.5),
        ("frequency_penalty", False),
        ("repetition_penalty", 1.1),
        ("length_penalty", 1.1),
        ("tools", [{}]),
        ("tool_choice", "required"),
        ("response_format", {"type": "json_object"}),
        ("modalities", ["audio"]),
        ("service_tier", "flex"),
        ("reasoning_effort", "low"),
        ("audio", {"voice": "alloy", "format": "mp3"}),
    ],
)
def test_a_field_that_others_know_is_refused_as_unsupported_unless_it_is_null(field: str, value: Any) -> None:
    error = refused_with(**{field: value})
    assert (error.param, answer_to(error).code) == (field, "unsupported_parameter")
    assert accepted(**{field: None}).model == "m"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"steps": 4, "steps_per_block": 4}, "steps_per_block excludes steps; give one of them."),
        ({"min_tokens": 5, "max_completion_tokens": 4}, "min_tokens must not be more than max_completion_tokens."),
        (
            {"canvas": "grow", "cfg_scale": 1},
            "canvas is grow, which does not go with cfg_scale, as guidance's unconditional pass is not defined there.",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_told(fields: dict[str, Any], sentence: str) -> None:
    assert refused_with(**fields).message == sentence


def test_nothing_stands_behind_a_canvas_that_grows() -> None:
    assert completion(prompt="a", suffix="b", canvas="fixed").canvas == "fixed"
    assert completion(prompt="a", suffix="", canvas="grow").canvas == "grow"
    error = refusal(json.dumps({"prompt": "a", "suffix": "b", "canvas": "grow"}).encode(), CompletionRequest)
    assert error.param == "canvas"
    assert (
        error.message == "canvas is grow, which does not go with suffix, as nothing stands behind a canvas that grows."
    )


def test_a_stop_string_may_stand_alone() -> None:
    assert accepted(stop="a").stop == ["a"]
    assert accepted(stop=["a", "b"]).stop == ["a", "b"]
    assert accepted(stop=[]).stop == []


def test_biases_are_read_as_numbers() -> None:
    assert accepted(logit_bias={"0": 1, "8": -2.5}).logit_bias == {0: 1.0, 8: -2.5}


def test_a_bias_and_a_prompt_may_name_the_same_tokens() -> None:
    largest = TOKEN_IDS - 1
    assert completion(prompt=[largest], logit_bias={str(largest): 1}).logit_bias == {largest: 1.0}
    error = refusal(json.dumps({"model": "m", "prompt": [[TOKEN_IDS]]}).encode(), CompletionRequest)
    assert error.param == "prompt[0][0]"
    assert refused_with(logit_bias={str(TOKEN_IDS): 1}).param == "logit_bias"


@pytest.mark.parametrize(
    ("bias", "words"),
    [
        ({"5": 1, "x": 1}, ": key 'x' is not a token id"),
        ({"01": 1}, ": key '01' is not a token id"),
        ({"": 1}, ": key '' is not a token id"),
        ({"\ud800": 1}, ": key '\\ud800' is not a token id"),
        ({"{key}": 1}, ": key '{key}' is not a token id"),
        ({"x" * 10_000: 1}, f": key '{'x' * MAX_NAME_CHARACTERS}…' is not a token id"),
        ({"5": 1, "7": 101}, ": 101, the bias of token 7, is not a number from -100 to 100"),
        ({"7": True}, ": true, the bias of token 7, is not a number from -100 to 100"),
        ({"7": NAN}, ": NaN, the bias of token 7, is not a number from -100 to 100"),
        ({"7": "-1"}, ': "-1", the bias of token 7, is not a number from -100 to 100'),
        ({"7": [1] * 10_000}, ": a list or an object, the bias of token 7, is not a number from -100 to 100"),
    ],
)
def test_a_bias_that_is_wrong_is_named_with_its_token(bias: dict[str, Any], words: str) -> None:
    error = refused_with(logit_bias=bias)
    assert (error.param, error.message) == ("logit_bias", f"logit_bias{words}.")


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_body_in_another_encoding_than_utf_8_is_no_json(encoding: str) -> None:
    asked = {**ASK, "user": "ö"}
    assert isinstance(refusal(json.dumps(asked, ensure_ascii=False).encode(encoding)), InvalidJsonError)


@pytest.mark.parametrize(
    ("kind", "fields", "worker", "field"),
    [
        (ChatRequest, {}, "gen_length", "max_tokens"),
        (ChatRequest, {"max_completion_tokens": 5}, "gen_length", "max_completion_tokens"),
        (ChatRequest, {"kv_cache": "dual"}, "kv_cache", "kv_cache"),
        (ChatRequest, {"use_cache": True}, "kv_cache", "use_cache"),
        (ChatRequest, {"use_dual_cache": True}, "kv_cache", "use_dual_cache"),
        (ChatRequest, {}, "top_logprobs", "top_logprobs"),
        (ChatRequest, {}, "steps", "steps"),
        (CompletionRequest, {"prompt": "a", "logprobs": 1}, "top_logprobs", "logprobs"),
        (CompletionRequest, {"prompt": "a"}, "gen_length", "max_tokens"),
    ],
)
def test_a_field_that_a_worker_refuses_has_the_name_by_which_the_client_gave_it(
    kind: Any, fields: dict[str, Any], worker: str, field: str
) -> None:
    base = ASK if kind is ChatRequest else {"model": "m"}
    assert parse(kind, json.dumps({**base, **fields}).encode()).field_of_worker(worker) == field


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(ChatRequest, b"\xef\xbb\xbf" + json.dumps(ASK).encode()).model == "m"


class Threaded(Strict):
    """Tells the thread in which it was validated."""

    padding: str
    thread: int = 0

    @model_validator(mode="before")
    @classmethod
    def _noted(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "thread": threading.get_ident()}


@pytest.mark.parametrize(("characters", "here"), [(10, True), (INLINE_BYTES, False)])
async def test_a_large_body_is_parsed_beside_the_event_loop(characters: int, here: bool) -> None:
    parsed = await parse_body(Threaded, json.dumps({"padding": "a" * characters}).encode())
    assert (parsed.thread == threading.get_ident()) is here


async def test_a_large_body_is_refused_as_a_small_one_is() -> None:
    with pytest.raises(InvalidValueError, match="messages is required"):
        await parse_body(ChatRequest, json.dumps({**ASK, "messages": None, "user": "a" * INLINE_BYTES}).encode())


def test_a_number_too_large_for_a_float_is_no_number() -> None:
    error = refusal(
        json.dumps({**ASK, "temperature": 0}).encode().replace(b'"temperature": 0', b'"temperature": 1e999')
    )
    assert error.param == "temperature"


@pytest.mark.parametrize("number", ["5.0", "0.5e1", "500E-2"])
def test_a_number_without_a_fraction_is_an_integer_however_it_is_written(number: str) -> None:
    body = json.dumps({**ASK, "max_tokens": 0}).replace('"max_tokens": 0', f'"max_tokens": {number}')
    assert parse(ChatRequest, body.encode()).max_tokens == 5


def test_a_misspelt_field_is_told_its_neighbour() -> None:
    assert "temperature?" in refused_with(tempreature=1).message
    assert "max_tokens?" in refused_with(gen_length=1).message


def test_nobody_is_led_from_a_misspelt_field_to_one_that_has_no_effect() -> None:
    assert "Did you mean" not in refused_with(frequency_penaltyy=1).message
    assert "Did you mean" not in refused_with(moderations=1).message


def test_names_of_speakers_are_for_the_chat_template() -> None:
    (message,) = accepted(messages=[{"role": "user", "content": "x", "name": "ada"}]).messages
    assert message.for_template() == {"role": "user", "content": "x", "name": "ada"}


def test_as_many_as_best_of_are_told() -> None:
    assert completion(prompt="a", n=2, best_of=2).choices == 2


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


def completion(**fields: Any) -> Any:
    return parse(CompletionRequest, json.dumps({"model": "m", **fields}).encode())


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        ("", [""]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ([[]], [[]]),
        (["a", [1]], ["a", [1]]),
    ],
)
def test_a_prompt_is_text_or_token_ids_or_many_of_them(prompt: Any, prompts: list[Any]) -> None:
    assert [one.value for one in completion(prompt=prompt).prompt] == prompts


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": [1, -1]}, "prompt[1]"),
        ({"prompt": [1, True]}, "prompt[1]"),
        ({"prompt": [1, 2**32]}, "prompt[1]"),
        ({"prompt": [1, "a"]}, "prompt[1]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": ["a", {}]}, "prompt[1]"),
        ({"prompt": [[1], [2, 1.5]]}, "prompt[1][1]"),
        ({"prompt": ["a", "\ud800"]}, "prompt[1]"),
        ({"prompt": ["a"] * (MAX_CHOICES + 1)}, "prompt"),
        ({"prompt": ["a", "b"], "n": MAX_CHOICES}, "n"),
        ({"prompt": "a", "suffix": 5}, "suffix"),
        ({"prompt": "a", "suffix": "\ud800"}, "suffix"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "logprobs": 0, "echo": True}, "echo"),
        ({"prompt": "a", "messages": []}, "messages"),
        ({"prompt": "a", "best_of": 2}, "best_of"),
    ],
)
def test_what_is_wrong_with_a_completion_is_named(fields: dict[str, Any], param: str) -> None:
    error = refusal(json.dumps({"model": "m", **fields}).encode(), CompletionRequest)
    assert (error.param, answer_to(error).code) == (param, "invalid_value")


@pytest.mark.parametrize("prompt", [["a", {}], [[], [1.5]], [0, "a"]])
def test_more_prompts_than_choices_are_refused_unread(prompt: list[Any]) -> None:
    error = refusal(json.dumps({"model": "m", "prompt": prompt * MAX_CHOICES}).encode(), CompletionRequest)
    assert (error.param, str(MAX_CHOICES) in error.message) == ("prompt", True)
