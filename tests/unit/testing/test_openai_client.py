import json

import pytest

from testing.openai_client import NOT_OPENAI, Choice, StreamedReply, Usage, whole_reply

USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "completion_tokens_details": {"forward_passes": 3, "committed_tokens": 8},
}
COUNTED = Usage(prompt_tokens=5, completion_tokens=7, forward_passes=3, committed_tokens=8)


def chunk(text: str, index: int = 0, finish_reason: str | None = None) -> str:
    return json.dumps({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish_reason}]})


def test_a_streamed_reply_is_its_pieces_put_together_choice_by_choice() -> None:
    reply = StreamedReply()
    for event in (chunk("r-", 1), chunk("a"), chunk("i", 1, "stop"), chunk("b", 0, "length"), "[DONE]"):
        reply.add(event)
    assert reply.so_far().choices == {1: Choice("r-i", "stop"), 0: Choice("ab", "length")}
    assert reply.so_far().lost is None


def test_a_whole_chat_reply_and_a_completion_say_the_same() -> None:
    for choice in ({"message": {"content": "hi"}}, {"text": "hi"}):
        body = json.dumps({"choices": [{"index": 0, "finish_reason": "stop", **choice}]}).encode()
        assert whole_reply(200, body, None).choices == {0: Choice("hi", "stop")}


def test_a_refusal_tells_its_code_and_when_to_come_again() -> None:
    body = json.dumps({"error": {"code": "draining", "message": "The server is shutting down."}}).encode()
    reply = whole_reply(503, body, "2")
    assert (reply.error, reply.retry_after, reply.begun) == ("draining", 2, False)


def test_an_error_in_mid_stream_is_told_with_what_had_come() -> None:
    reply = StreamedReply()
    for event in (chunk("r-i"), json.dumps({"error": {"code": "no_healthy_workers", "message": "it died"}}), "[DONE]"):
        reply.add(event)
    found = reply.so_far()
    assert (found.error, found.message, found.lost, found.begun) == ("no_healthy_workers", "it died", None, True)


@pytest.mark.parametrize("lost", [None, "the connection was reset"])
def test_a_stream_that_ends_without_saying_so_is_lost(lost: str | None) -> None:
    reply = StreamedReply()
    reply.add(chunk("r-i", 0, "stop"))
    assert reply.so_far(lost).lost == (lost or "the stream ended before the reply did")


def test_a_connection_that_breaks_after_the_last_word_loses_nothing() -> None:
    reply = StreamedReply()
    for event in (chunk("r-i", 0, "stop"), "[DONE]"):
        reply.add(event)
    assert reply.so_far("the connection was reset").lost is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"choices": [{}]}'])
def test_what_no_client_would_understand_is_an_error_of_its_own(body: bytes) -> None:
    assert whole_reply(200, body, None).error == NOT_OPENAI


def test_an_event_that_no_client_would_understand_is_one_too() -> None:
    reply = StreamedReply()
    for event in (chunk("r-i"), "{", "[DONE]"):
        reply.add(event)
    assert (reply.so_far().error, reply.so_far().begun) == (NOT_OPENAI, True)


def test_usage_is_what_the_server_counted_and_nothing_is_made_up() -> None:
    choices = [{"index": 0, "text": "hi"}]
    assert whole_reply(200, json.dumps({"choices": choices, "usage": USAGE}).encode()).usage == COUNTED
    uncounted = {"choices": choices, "usage": {"completion_tokens_details": None}}
    assert whole_reply(200, json.dumps(uncounted).encode()).usage == Usage()


def test_a_stream_s_texts_are_those_that_hold_any_and_its_usage_comes_last() -> None:
    reply = StreamedReply()
    last = json.dumps({"choices": [], "usage": USAGE})
    for moment, event in enumerate((chunk(""), chunk("a"), chunk("b"), chunk("", 0, "stop"), last, "[DONE]")):
        reply.add(event, moment)
    assert (reply.so_far().texts, reply.so_far().usage) == ([1, 2], COUNTED)


def test_what_is_said_while_reasoning_is_text_too() -> None:
    reply = StreamedReply()
    reply.add(json.dumps({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}), 3.0)
    assert reply.so_far().texts == [3.0]
