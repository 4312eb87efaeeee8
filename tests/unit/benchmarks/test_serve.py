from dataclasses import replace

import pytest

from benchmarks.load import Call, Distribution, Summary
from benchmarks.serve import figures_of, row_of, text_of
from testing.openai_client import Choice, Reply, Usage

REPLY = Reply(
    status=200,
    choices={0: Choice("abc", "stop")},
    texts=(1.2, 1.3, 1.7),
    usage=Usage(prompt_tokens=100, completion_tokens=30, forward_passes=4, committed_tokens=32),
)
CALL = Call(due=1.0, sent=1.01, ended=2.0, reply=REPLY)
WHOLE = Call(due=3.0, sent=3.0, ended=5.0, reply=replace(REPLY, texts=()))
REFUSED = Reply(status=503, error="server_overloaded", message="busy")


def refused(due: float, seconds: float) -> Call:
    return Call(due=due, sent=due, ended=due + seconds, reply=REFUSED)


def test_latencies_count_from_when_a_request_was_due_and_failures_are_no_part_of_them() -> None:
    gone = replace(CALL, reply=Reply(lost="reset"))
    load = Summary.of([CALL, gone, refused(4.0, 0.001), refused(4.0, 0.003)], 5)
    assert load.latency == Distribution.of([1.0])
    assert load.first_text == Distribution.of([0.2])
    assert load.lateness == Distribution.of([0.01, 0.01, 0, 0])
    assert load.failures == {"server_overloaded": 2, "reset": 1}


def test_rates_are_of_what_was_completed_and_what_came_late_lowers_them() -> None:
    figures = figures_of([CALL, WHOLE, refused(3.9, 0.5)], 4, {})
    load = figures["load"]
    assert (load.lasted, load.requests, load.completed) == (5, 3, 2)
    assert load.offered_rate == pytest.approx(3 / 4)
    assert load.completed_rate == pytest.approx(2 / 5)
    assert figures["input_token_rate"] == pytest.approx(200 / 5)
    assert figures["output_token_rate"] == pytest.approx(60 / 5)
    assert (figures["input_tokens"], figures["output_tokens"]) == (100, 30)
    assert Summary.of([refused(1.0, 20.0)], 4).lasted == 4


def test_tokens_per_forward_pass_are_of_all_passes_together() -> None:
    more = replace(CALL, reply=replace(REPLY, usage=Usage(forward_passes=12, committed_tokens=8)))
    figures = figures_of([CALL, more], 2, {})
    assert figures["forward_passes"] == 8
    assert figures["tokens_per_forward_pass"] == pytest.approx(40 / 16)


def test_what_a_server_does_not_count_is_left_out() -> None:
    told = text_of(figures_of([replace(CALL, reply=Reply(status=200))], 2, {}))
    assert "a reply" not in told
    assert "time to first token" not in told
    assert "failed:" not in told


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ({"ttft": 199}, 0),
        ({"ttft": 201}, 1),
        ({"e2el": 1001}, 1),
        ({"e2el": 2001}, 2),
        ({"ttft": 201, "e2el": 999}, 0),
    ],
)
def test_goodput_is_what_kept_all_limits_and_a_reply_without_a_first_token_kept_none_of_it(
    limits: dict[str, float], good: int
) -> None:
    assert figures_of([CALL, WHOLE, refused(4.0, 0.001)], 5, limits)["goodput"] == pytest.approx(good / 5)
    assert figures_of([CALL], 5, {})["goodput"] is None


def test_the_peak_is_of_requests_that_were_at_the_server_at_the_same_time() -> None:
    spans = [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0), (3.5, 3.8), (3.6, 3.7)]
    calls = [replace(CALL, sent=sent, ended=ended) for sent, ended in spans]
    assert figures_of(calls, 4, {})["peak_concurrency"] == 3
    assert figures_of(calls[:3], 4, {})["peak_concurrency"] == 2


def test_of_no_request_there_is_little_to_say() -> None:
    figures = figures_of([], 4, {})
    assert (figures["load"].completed_rate, figures["load"].latency, figures["peak_concurrency"]) == (0, None, 0)
    assert "0 requests in 4.0 s" in text_of(figures)


def test_a_client_that_was_late_itself_says_so() -> None:
    late = replace(CALL, sent=1.06)
    assert "Requests were sent up to 60.0 ms late, p99 60.0 ms" in text_of(figures_of([late], 2, {}))
    assert "Requests were sent" not in text_of(figures_of([replace(CALL, sent=1.04)], 2, {}))


def test_a_row_holds_all_of_a_request() -> None:
    assert row_of(CALL) == {
        "due": 1.0,
        "sent": 1.01,
        "ended": 2.0,
        "status": 200,
        "error": None,
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "forward_passes": 4,
        "committed_tokens": 32,
        "texts": [1.2, 1.3, 1.7],
    }
