"""The whole stack with iLLaDA: canvases that grow, asked for over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from testing.illada import write_illada
from testing.stack import running_stack, stats_of_worker
from testing.waiting import eventually

MODEL = "illada"
ASK: Any = [{"role": "user", "content": "the quick brown fox"}]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_illada(tmp_path_factory.mktemp("checkpoint"))
    with running_stack("--port=0", f"--model={folder}", f"--id={MODEL}", "--devices=cpu", "--dtype=float32") as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


def test_v1_models_tells_the_family_its_options_and_what_its_authors_run_it_with(client: openai.OpenAI) -> None:
    (card,) = client.models.list()
    told = card.to_dict()
    assert told["family"] == "illada"
    assert {"canvas", "end_of_thinking_boost", "thinking_budget"} <= set(told["options"])  # type: ignore[call-overload]
    expected = {"canvas": "grow", "steps_per_block": 32, "end_of_thinking_boost": 100, "max_tokens": 2048}
    assert expected.items() <= told["defaults"].items()  # type: ignore[attr-defined]


def test_a_chat_with_a_system_message_is_answered_by_a_canvas_that_grows(client: openai.OpenAI) -> None:
    extra = {"diffusing": True, "ignore_eos": True, "steps_per_block": 2, "block_length": 8}
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "Be brief."}, *ASK],
        max_tokens=24,
        stream=True,
        extra_body=extra,
    )
    lengths = [len(chunk.canvas["tokens"]) for chunk in stream if getattr(chunk, "canvas", None)]
    assert sorted(set(lengths)) == [8, 16, 24]
    assert lengths == sorted(lengths)


async def test_a_stop_string_ends_a_growing_reply_within_a_step(client: openai.OpenAI, url: str) -> None:
    options = {"ignore_eos": True, "steps_per_block": 8, "block_length": 8}
    whole = client.completions.create(model=MODEL, prompt="the quick", max_tokens=400, extra_body=options)
    text, passes = whole.choices[0].text, whole.usage.completion_tokens_details.forward_passes  # type: ignore[union-attr]
    stop = text[10:13]
    with stats_of_worker(url) as stats:
        before = stats()
        cut = client.completions.create(model=MODEL, prompt="the quick", max_tokens=400, stop=stop, extra_body=options)
        await eventually(lambda: stats().cancelled_requests_total > before.cancelled_requests_total)
        await eventually(lambda: stats().running_requests == 0)
        taken = stats().forward_passes_total - before.forward_passes_total
    assert (cut.choices[0].text, cut.choices[0].finish_reason) == (text[: text.index(stop)], "stop")
    assert taken < passes / 2


def test_thinking_is_for_chats_and_a_completion_asks_for_it(client: openai.OpenAI) -> None:
    """With so small a budget the marker is pushed from the first token on."""
    options = {"ignore_eos": True, "block_length": 8, "thinking_budget": 1, "end_of_thinking_boost": 1000}
    chat = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=16, extra_body=options)
    assert (chat.choices[0].message.content or "").startswith("</think>")
    plain = client.completions.create(model=MODEL, prompt="the", max_tokens=16, extra_body={"ignore_eos": True})
    asked = client.completions.create(model=MODEL, prompt="the", max_tokens=16, extra_body=options)
    assert not plain.choices[0].text.startswith("</think>")
    assert asked.choices[0].text.startswith("</think>")


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"canvas": "grow", "suffix": "b"}, "canvas", "does not go with suffix, as nothing stands behind"),
        ({"canvas": "grow", "extra_body": {"cfg_scale": 1}}, "canvas", "does not go with cfg_scale"),
        ({"canvas": "round"}, "canvas", "'fixed' or 'grow'"),
        ({"prompt": [7, 5]}, "prompt", "mask token"),
    ],
)
def test_what_does_not_go_with_a_growing_canvas_is_refused_with_a_reason(
    client: openai.OpenAI, fields: dict[str, Any], param: str, sentence: str
) -> None:
    extra = fields.pop("extra_body", {}) | ({"canvas": fields.pop("canvas")} if "canvas" in fields else {})
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, max_tokens=8, extra_body=extra, **{"prompt": "a", **fields})
    error = json.loads(caught.value.response.text)["error"]
    assert error["param"] == param
    assert sentence in error["message"]


def test_infilling_takes_a_fixed_canvas_by_itself_and_the_mask_s_name_in_a_text_stays_text(
    client: openai.OpenAI,
) -> None:
    filled = client.completions.create(model=MODEL, prompt="a<[MASK▁TOKEN]>", suffix="b", max_tokens=8)
    assert filled.usage
    assert filled.usage.prompt_tokens > 3
