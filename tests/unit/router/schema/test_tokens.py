import json
from typing import Any

import pytest
from pydantic import ValidationError

from router.errors import RouterError
from router.schema.chat import ChatRequest
from router.schema.parsing import parse
from router.schema.tokens import MAX_TOKENS_OF_A_TEXT, DetokenizeRequest, TokenizeRequest

MESSAGES = [{"role": "user", "content": "hi"}]


def refusal(kind: Any, **fields: Any) -> RouterError:
    with pytest.raises(RouterError) as caught:
        parse(kind, json.dumps({"model": "m", **fields}).encode())
    return caught.value


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": MESSAGES}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"messages": []}, "messages"),
        ({"prompt": "a", "continue_final_message": True}, "continue_final_message"),
        (
            {"messages": MESSAGES, "continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
        ),
        ({"messages": MESSAGES, "chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs"),
        ({"messages": MESSAGES, "add_generation_prompt": "yes"}, "add_generation_prompt"),
        ({"messages": MESSAGES, "return_token_strs": 1}, "return_token_strs"),
    ],
)
def test_one_thing_is_tokenized(fields: dict[str, Any], param: str) -> None:
    assert refusal(TokenizeRequest, **fields).param == param


@pytest.mark.parametrize("text", [{"prompt": "a"}, {"messages": MESSAGES}])
@pytest.mark.parametrize(
    "fields",
    [
        {"add_special_tokens": True},
        {"add_special_tokens": False},
        {"add_generation_prompt": True, "continue_final_message": False},
        {"add_generation_prompt": False},
        {"return_token_strs": True},
        {"chat_template_kwargs": {}, "mm_processor_kwargs": {}, "tools": []},
        dict.fromkeys(
            ("add_special_tokens", "add_generation_prompt", "continue_final_message", "return_token_strs", "tools")
        ),
        dict.fromkeys(("chat_template", "chat_template_kwargs")),
    ],
)
def test_what_vllm_takes_is_taken(text: dict[str, Any], fields: dict[str, Any]) -> None:
    assert parse(TokenizeRequest, json.dumps({"model": "m", **text, **fields}).encode())


def test_a_chat_ends_its_prompt_in_one_way() -> None:
    fields = {"messages": MESSAGES, "continue_final_message": True}
    assert refusal(ChatRequest, **fields, add_generation_prompt=True).param == "continue_final_message"
    assert parse(ChatRequest, json.dumps({"model": "m", **fields, "add_generation_prompt": False}).encode())


def test_token_ids_that_are_wrong_all_over_are_judged_by_the_first() -> None:
    cause = refusal(DetokenizeRequest, tokens=["a"] * 100).__cause__
    assert isinstance(cause, ValidationError)
    assert cause.error_count() == 1


def test_more_token_ids_than_a_text_has_are_refused() -> None:
    most = [1] * MAX_TOKENS_OF_A_TEXT
    assert parse(DetokenizeRequest, json.dumps({"model": "m", "tokens": most}).encode()).tokens == most
    error = refusal(DetokenizeRequest, tokens=[*most, 1])
    assert (error.param, error.message) == (
        "tokens",
        f"tokens must not hold more than {MAX_TOKENS_OF_A_TEXT} items.",
    )


@pytest.mark.parametrize("tokens", [["a"], [-1], [2**32], [1.5], "a"])
def test_only_token_ids_become_text(tokens: Any) -> None:
    error = refusal(DetokenizeRequest, tokens=tokens)
    assert (error.param or "").startswith("tokens")
