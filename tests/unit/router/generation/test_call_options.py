"""Which options a worker is sent, by what its model knows."""

from collections.abc import Callable
from typing import Any

import pytest

from router.endpoints.generation import build_call
from router.errors import InvalidValueError
from router.generation.call import Prompt, build_choice_requests
from router.schema.chat import ChatRequest
from router.schema.completions import CompletionRequest
from router.text.tokenizer import ChatTokenizer
from router.workers.model import Model
from textdiffusion.generation_options import OPTIONS
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import read_options

Sent = Callable[..., pb.DiffusionOptions]
MESSAGES = [{"role": "user", "content": "x"}]
FOREIGN = {
    "end_of_thinking_boost": 1.0,
    "end_of_thinking_power": 1.0,
    "thinking_budget": 8,
    "end_of_thinking_ids": [5],
}


async def no_prompts() -> list[Prompt]:
    return []


@pytest.fixture
def sent(tokenizer: ChatTokenizer) -> Sent:
    """The options of a chat, or of a completion, for a model of whose kind its worker says this."""

    def send(*, completion: bool = False, info: Any = None, default: Any = None, **fields: Any) -> pb.DiffusionOptions:
        defaults = pb.DiffusionOptions(gen_length=64, **(default or {}))
        told = pb.GetInfoResponse(
            vocab_size=1000, max_sequence_length=100, defaults=defaults, **(info or {"family": "illada"})
        )
        asked = CompletionRequest(prompt="x", **fields) if completion else ChatRequest(messages=MESSAGES, **fields)
        model = Model.from_info(told, tokenizer, created=0)
        call = build_call(asked, model, no_prompts, request_id="id", deadline=0.0)
        (choice,) = build_choice_requests(call, [Prompt([1], "messages")])
        return choice.request.options

    return send


def test_options_arrive_under_their_names(sent: Sent) -> None:
    asked = {"canvas": "grow", "steps_per_block": 4, "min_parallel_tokens": 2, "min_p": 0.5, "min_tokens": 3, **FOREIGN}
    assert read_options(sent(remasking="sequential", max_tokens=8, **asked)) == {
        **asked,
        "remasking": "sequential",
        "max_tokens": 8,
    }


@pytest.mark.parametrize("info", [{"family": "llada"}, {"model_type": "llada"}, {"family": "llada", "model_type": "x"}])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_the_model_s_family_does_not_know_is_refused(sent: Sent, info: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        sent(info=info, **{name: FOREIGN[name]})
    assert caught.value.param == name
    assert caught.value.message == f"{name} is not an option of this model, whose family is llada."


def test_each_family_is_asked_for_what_it_knows() -> None:
    assert {name for name, option in OPTIONS.items() if not option.is_known_to("llada")} == FOREIGN.keys()


def test_thinking_is_a_matter_of_chats(sent: Sent) -> None:
    assert not sent().HasField("end_of_thinking_boost")
    assert read_options(sent(completion=True))["end_of_thinking_boost"] == 0
    assert sent(completion=True, end_of_thinking_boost=2.0).end_of_thinking_boost == 2
    assert not sent(completion=True, info={"family": "llada"}).HasField("end_of_thinking_boost")


def test_a_token_of_the_end_of_thinking_that_does_not_exist_is_named(sent: Sent) -> None:
    with pytest.raises(InvalidValueError, match="end_of_thinking_ids names 1000; ") as caught:
        sent(end_of_thinking_ids=[1, 1000])
    assert caught.value.param == "end_of_thinking_ids"


def test_a_canvas_that_shall_grow_is_refused_where_the_model_is_guided_by_default(sent: Sent) -> None:
    guided = {"cfg_scale": 1.0}
    with pytest.raises(InvalidValueError, match="canvas is grow, which does not go with cfg_scale") as caught:
        sent(default=guided, canvas="grow")
    assert caught.value.param == "canvas"
    assert sent(default=guided, canvas="grow", cfg_scale=0.0).canvas == pb.CANVAS_GROW
    assert sent(default=guided, canvas="fixed").canvas == pb.CANVAS_FIXED


@pytest.mark.parametrize("no_thinking", [{"reasoning_effort": "none"}, {"thinking_token_budget": 0}])
def test_a_chat_that_is_not_to_think_is_not_pushed_to_the_end_of_thinking(
    sent: Sent, no_thinking: dict[str, Any]
) -> None:
    assert read_options(sent(**no_thinking))["end_of_thinking_boost"] == 0
    assert sent(**no_thinking, end_of_thinking_boost=2.0).end_of_thinking_boost == 2


def test_the_fewest_tokens_are_no_more_than_a_default_that_the_client_does_not_see(sent: Sent) -> None:
    assert sent(min_tokens=500).min_tokens == 64
    assert sent(min_tokens=5).min_tokens == 5
