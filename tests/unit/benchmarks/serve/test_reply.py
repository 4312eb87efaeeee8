import json
from typing import Any

import pytest

from benchmarks.serve.reply import CUT_OFF, DONE, NOT_OPENAI, Reply, StreamedReply, Usage, whole_reply

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "completion_tokens_details": {"forward_passes": 3, "committed_tokens": 8},
}
COUNTED = Usage(prompt_tokens=5, completion_tokens=7, forward_passes=3, committed_tokens=8)


def streamed(*events: Any) -> Reply:
    """An event a second."""
    reply = StreamedReply(200)
    for moment, event in enumerate(events):
        reply.add(event if isinstance(event, str) else json.dumps(event), float(moment))
    return reply.ended()


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], "usage": None}


def test_a_whole_reply_says_how_it_ended_and_what_it_cost() -> None:
    body = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": USAGE, "error": None}
    expected = Reply(status=200, finish_reason="stop", usage=COUNTED)
    assert whole_reply(200, json.dumps(body).encode()) == expected


def test_what_a_server_does_not_count_is_not_made_up() -> None:
    body = {"choices": [{"text": "hi"}], "usage": {"prompt_tokens": "5", "completion_tokens_details": None}}
    assert whole_reply(200, json.dumps(body).encode()).usage == Usage()


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (503, {"error": {"code": "server_overloaded", "type": "x", "message": "busy"}}, "server_overloaded", "busy"),
        (404, {"error": {"code": None, "type": "invalid_request_error"}}, "invalid_request_error", ""),
        (400, {"error": {"code": 400, "message": "no"}}, "400", "no"),
        (401, {"error": "Unauthorized"}, "unnamed", "Unauthorized"),
        (422, {"detail": "not so"}, "unnamed", "not so"),
        (200, {"error": {"code": "late", "message": "after all"}}, "late", "after all"),
        (200, {"choices": []}, NOT_OPENAI, "no choices in the reply"),
        (200, {"choices": ["hi"]}, NOT_OPENAI, "no choices in the reply"),
        (502, "<html>", NOT_OPENAI, "not a JSON object"),
        (200, [1], NOT_OPENAI, "not a JSON object"),
    ],
)
def test_whatever_is_no_reply_is_a_failure_with_a_code(status: int, body: Any, code: str, message: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert whole_reply(status, text.encode()) == Reply(status=status, error=code, message=message)


def test_a_stream_s_texts_are_those_that_hold_any() -> None:
    last = {"choices": [], "usage": USAGE}
    reply = streamed(
        chunk(role="assistant", content=""), chunk(content="a"), chunk(content="b"), chunk("stop"), last, DONE
    )
    assert reply == Reply(status=200, texts=(1.0, 2.0), finish_reason="stop", usage=COUNTED)


def test_a_completion_s_text_and_what_is_said_while_reasoning_are_text_too() -> None:
    assert streamed({"choices": [{"text": "a", "finish_reason": None}]}, DONE).texts == (0.0,)
    assert streamed(chunk(reasoning_content="hm"), DONE).texts == (0.0,)


def test_a_stream_that_fails_on_its_way_has_failed() -> None:
    reply = streamed(chunk(content="a"), {"error": {"code": "bad_worker_response", "message": "gone"}}, DONE)
    assert reply == Reply(status=200, error="bad_worker_response", message="gone")


@pytest.mark.parametrize(("events", "error"), [([], CUT_OFF), ([chunk(content="a")], CUT_OFF), (["so"], NOT_OPENAI)])
def test_a_stream_that_does_not_end_as_it_should_has_failed(events: list[Any], error: str) -> None:
    assert streamed(*events).error == error


def test_a_stream_that_names_its_end_needs_no_last_word() -> None:
    assert streamed(chunk(content="a"), chunk("length")).error is None
