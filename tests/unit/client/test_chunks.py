import json
import math

import pytest

from client.chunks import Chunk, read_chunk
from client.errors import RefusedError

NESTED = "[" * 100_000


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"choices": [{"delta": {"content": "a"}}]}, "a"),
        ({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, ""),
        ({"choices": [{"delta": {}, "finish_reason": "stop"}]}, ""),
        ({"choices": [{"text": "b"}]}, "b"),
        ({"choices": [], "usage": {}}, ""),
        ({"choices": None}, ""),
    ],
)
def test_the_text_is_found_in_chats_and_completions(content: object, text: str) -> None:
    assert read_chunk(json.dumps(content)) == Chunk(text)


def test_the_length_of_the_answer_is_told_in_the_end() -> None:
    assert read_chunk('{"choices": [], "usage": {"completion_tokens": 7}}') == Chunk(length=7)


def test_a_canvas_tells_what_was_committed_with_which_confidence() -> None:
    committed = [{"position": 1, "logprob": math.log(0.25)}, {"position": 2, "logprob": -9999}]
    canvas = {"step": 3, "tokens": [None, "a", "b"], "committed": committed}
    told = read_chunk(json.dumps({"choices": [], "canvas": canvas})).canvas
    assert told
    assert (told.step, told.tokens) == (3, [None, "a", "b"])
    assert told.committed == pytest.approx({1: 0.25, 2: 0.0})


@pytest.mark.parametrize(
    "event",
    [
        "no JSON",
        "[]",
        "1",
        '{"choices": [1]}',
        '{"choices": {"a": 1}}',
        '{"usage": {"completion_tokens": "x"}}',
        '{"usage": {"completion_tokens": 1e999}}',
        pytest.param(NESTED, id="nested"),
        '{"canvas": {"step": 1}}',
        '{"canvas": {"step": "x", "tokens": [], "committed": []}}',
        '{"canvas": {"step": 1, "tokens": 5, "committed": []}}',
        '{"canvas": {"step": 1, "tokens": [], "committed": [{"position": 0, "logprob": "x"}]}}',
    ],
)
def test_what_is_no_event_is_said_to_be_none(event: str) -> None:
    with pytest.raises(RefusedError, match="none of an OpenAI-compatible server"):
        read_chunk(event)


@pytest.mark.parametrize("error", [{"message": "the worker died"}, "the worker died"])
def test_an_error_is_raised_in_the_words_of_the_server(error: object) -> None:
    with pytest.raises(RefusedError, match=r"^the worker died$"):
        read_chunk(json.dumps({"error": error}))
