"""What is let through although it has no effect, and that nothing else is."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from openai.types import completion_create_params as completion_params
from openai.types.chat import completion_create_params as chat_params

from router.errors import RouterError, UnsupportedParameterError
from router.schema.chat import ChatRequest
from router.schema.completions import CompletionRequest
from router.schema.parsing import parse
from router.schema.tolerance import Hints, Tolerated, ToleratedInChat, ToleratedInCompletions

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "spell", "parameters": {"type": "object", "properties": {}}}}

KINDS: Mapping[type[Any], dict[str, Any]] = {
    ChatRequest: {"model": "m", "messages": [USER]},
    CompletionRequest: {"model": "m", "prompt": "hi"},
}
NEVER_NULL = ("model", "messages", "prompt")

# The value by which each of OpenAI's parameters asks for nothing beyond what is done without it; none where any does.
OPENAI_NEUTRAL: Mapping[str, Any] = {
    "audio": {},
    "best_of": 1,
    "echo": False,
    "frequency_penalty": 0,
    "function_call": "none",
    "functions": [],
    "logit_bias": {},
    "logprobs": False,
    "max_completion_tokens": None,
    "max_tokens": None,
    "metadata": {},
    "modalities": ["text"],
    "moderation": {"model": "omni-moderation-latest"},
    "n": 1,
    "parallel_tool_calls": True,
    "prediction": {},
    "presence_penalty": 0,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
    "safety_identifier": "me",
    "seed": None,
    "service_tier": "auto",
    "stop": [],
    "store": False,
    "stream": False,
    "stream_options": {},
    "suffix": "",
    "temperature": None,
    "tool_choice": "none",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1,
    "user": "me",
    "verbosity": "medium",
    "web_search_options": None,  # an empty object turns the search on
}
# Where the type of a parameter is another one in completions.
OF_COMPLETIONS = {"logprobs": None}


def parameters(*kinds: type[Any]) -> set[str]:
    return {name for kind in kinds for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}


CHAT_PARAMETERS = parameters(
    chat_params.CompletionCreateParamsNonStreaming, chat_params.CompletionCreateParamsStreaming
)
COMPLETION_PARAMETERS = parameters(
    completion_params.CompletionCreateParamsNonStreaming, completion_params.CompletionCreateParamsStreaming
)
OPENAI_PARAMETERS = [
    *((ChatRequest, name) for name in sorted(CHAT_PARAMETERS)),
    *((CompletionRequest, name) for name in sorted(COMPLETION_PARAMETERS)),
]


def accepted(kind: type[Any] = ChatRequest, **fields: Any) -> Any:
    return parse(kind, json.dumps({**KINDS[kind], **fields}).encode())


def refusal(kind: type[Any] = ChatRequest, **fields: Any) -> RouterError:
    with pytest.raises(RouterError) as caught:
        accepted(kind, **fields)
    return caught.value


def values_of(kind: type[Any], name: str) -> list[Any]:
    values: list[Any] = kind.model_json_schema()["properties"][name].get("enum", [[]])
    return values


def test_the_openai_package_has_the_parameters_that_this_page_knows() -> None:
    assert {*OPENAI_NEUTRAL, *NEVER_NULL} == CHAT_PARAMETERS | COMPLETION_PARAMETERS


@pytest.mark.parametrize(("kind", "name"), OPENAI_PARAMETERS)
def test_every_parameter_of_openai_is_a_field(kind: type[Any], name: str) -> None:
    assert name in kind.model_fields


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in OPENAI_PARAMETERS if name not in NEVER_NULL])
def test_every_parameter_of_openai_may_be_null_or_ask_for_nothing(kind: type[Any], name: str) -> None:
    accepted(kind, **{name: None})
    neutral = {**OPENAI_NEUTRAL, **(OF_COMPLETIONS if kind is CompletionRequest else {})}
    accepted(kind, **{name: neutral[name]})


def test_all_parameters_of_openai_may_ask_for_nothing_together() -> None:
    accepted(ChatRequest, **{name: OPENAI_NEUTRAL[name] for name in CHAT_PARAMETERS.difference(NEVER_NULL)})
    completion = {**OPENAI_NEUTRAL, **OF_COMPLETIONS}
    accepted(CompletionRequest, **{name: completion[name] for name in COMPLETION_PARAMETERS.difference(NEVER_NULL)})


TOLERATED = [
    *((ChatRequest, name) for name in ToleratedInChat.model_fields.keys() - Hints.model_fields.keys()),
    *((CompletionRequest, name) for name in ToleratedInCompletions.model_fields.keys() - Hints.model_fields.keys()),
]


@pytest.mark.parametrize(("kind", "name"), sorted(TOLERATED, key=str))
def test_a_field_without_effect_is_accepted_with_nothing_but_what_asks_for_nothing(kind: type[Any], name: str) -> None:
    neutral = values_of(kind, name)
    for value in neutral:
        accepted(kind, **{name: value})
    for value in (None, [], {}, False, True, 0, 1, -1, 0.5, "x", [1], {"a": 1}, ["a"] * 9):
        if value is not None and not any(value == one and type(value) is type(one) for one in neutral):
            error = refusal(kind, **{name: value})
            assert isinstance(error, UnsupportedParameterError)
            assert error.param == name
            assert f"{name} is not supported by this server" in error.message


# What vLLM's classes of requests, and SGLang's, have as their defaults.
VLLM_DEFAULTS = {
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "min_tokens": 0,
    "use_beam_search": False,
    "stop": [],
    "stop_token_ids": [],
    "include_stop_str_in_output": False,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "bad_words": [],
    "n": 1,
    "stream": False,
    "priority": 0,
    "truncate_prompt_tokens": None,
    "prompt_logprobs": None,
    "allowed_token_ids": None,
    "routed_experts_prompt_start": 0,
    "return_token_offsets": False,
    "return_mm_kwargs": True,
    "echo": False,
}
SGLANG_DEFAULTS = {
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "min_tokens": 0,
    "no_stop_trim": False,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "lora_path": None,
    "return_hidden_states": False,
    "return_routed_experts": False,
    "routed_experts_start_len": 0,
    "n": 1,
    "return_cached_tokens_details": False,
    "return_token_ids": False,
    "stream": False,
    "top_p": 1.0,
}
VLLM_CHAT = {"logprobs": False, "top_logprobs": 0, "tool_choice": "none", "parallel_tool_calls": True}
SGLANG_CHAT = {
    "logprobs": False,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "return_prompt_token_ids": False,
    "separate_reasoning": True,
    "stream_reasoning": True,
    "use_audio_in_video": False,
    "return_meta_info": False,
}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ChatRequest, {**VLLM_DEFAULTS, **VLLM_CHAT, "include_reasoning": True, "add_special_tokens": False}),
        (ChatRequest, {**SGLANG_DEFAULTS, **SGLANG_CHAT}),
        (CompletionRequest, {**VLLM_DEFAULTS, "add_special_tokens": True}),
        (CompletionRequest, {**SGLANG_DEFAULTS, "echo": False, "session_id": "s", "extra_key": "k", "cache_salt": "s"}),
    ],
)
def test_a_request_that_spells_out_another_server_s_defaults_is_accepted(kind: type[Any], fields: Any) -> None:
    accepted(kind, **fields)


@pytest.mark.parametrize("off", [-1, 0])
def test_top_k_is_off_at_zero_and_at_minus_one(off: int) -> None:
    assert accepted(top_k=off).top_k == 0


@pytest.mark.parametrize(("choice", "offered"), [("tool_choice", "tools"), ("function_call", "functions")])
def test_tools_that_are_not_to_be_called_are_accepted(choice: str, offered: str) -> None:
    accepted(**{offered: [TOOL], choice: "none"})
    for other in ({}, {choice: "auto"}, {choice: None}):
        assert refusal(**{offered: [TOOL], **other}).param == offered
    assert refusal(**{offered: [TOOL], choice: "required"}).param in (choice, offered)
    assert refusal(**{offered: {"a": 1}, choice: "none"}).param == offered


def test_stream_options_that_ask_for_nothing_need_no_stream() -> None:
    accepted(stream_options={})
    accepted(stream_options={"include_usage": False, "include_obfuscation": False})
    assert refusal(stream_options={"include_usage": True}).param == "stream_options"


HINTS = {
    "user": "me",
    "metadata": {"a": "b"},
    "store": True,
    "conversation_id": "c",
    "session_id": "s",
    "safety_identifier": "me",
    "moderation": {"model": "m", "policy": {"input": {"mode": "score"}, "output": None}},
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "30m"},
    "cache_control": {"type": "ephemeral"},
    "cache_salt": "s",
    "extra_key": "k",
}


@pytest.mark.parametrize("kind", KINDS)
def test_hints_are_accepted(kind: type[Any]) -> None:
    assert HINTS.keys() == Hints.model_fields.keys()
    accepted(kind, **HINTS)


@pytest.mark.parametrize("name", sorted(Hints.model_fields.keys() - {"store"}))
def test_a_hint_of_another_type_is_refused(name: str) -> None:
    assert refusal(**{name: True}).param == name
    assert refusal(**{name: [1]}).param == name


@pytest.mark.parametrize("side", ["input", "output"])
def test_moderation_that_is_to_block_is_refused(side: str) -> None:
    error = refusal(moderation={"model": "m", "policy": {side: {"mode": "block"}}})
    assert isinstance(error, UnsupportedParameterError)
    assert error.param == f"moderation.policy.{side}.mode"


def test_a_name_is_in_only_one_of_the_lists() -> None:
    chat, completion = (kind.__annotations__.keys() for kind in (ToleratedInChat, ToleratedInCompletions))
    assert not Hints.__annotations__.keys() & Tolerated.__annotations__.keys()
    assert not Tolerated.__annotations__.keys() & (chat | completion)


@pytest.mark.parametrize(
    "field", ["reasoning_effortt", "frequency", "top_kk", "nonsense", "cache_controll", "num_predict", "mirostat"]
)
@pytest.mark.parametrize("value", [0, False, [], {}, "", 1, "x"])
def test_a_field_that_nobody_knows_is_refused_whatever_its_value(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert (error.param, "not a known field" in error.message) == (field, True)
