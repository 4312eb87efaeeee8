from dataclasses import replace

import pytest

from benchmarks.load.distribution import Distribution
from benchmarks.load.open_loop import Call
from benchmarks.serve.reply import Reply, Usage
from benchmarks.serve.summary import first_tokens, row_of, summary_of

REPLY = Reply(
    status=200,
    texts=(1.2, 1.3, 1.7),
    finish_reason="stop",
    usage=Usage(prompt_tokens=100, completion_tokens=30, forward_passes=4, committed_tokens=32),
)
CALL = Call(number=0, due=1.0, begun=1.01, sent=1.1, ended=2.0, outcome=REPLY)
WHOLE = replace(CALL, number=1, due=3.0, begun=3.0, sent=3.0, ended=5.0, outcome=replace(REPLY, texts=()))
REFUSED = Reply(status=503, error="server_overloaded", message="busy")


def refused(number: int, due: float, seconds: float) -> Call[Reply]:
    return replace(CALL, number=number, due=due, begun=due, sent=due, ended=due + seconds, outcome=REFUSED)


def test_latencies_count_from_when_a_request_was_due() -> None:
    summary = summary_of([CALL])
    assert summary.e2el == Distribution.of([1.0])
    assert summary.ttft == Distribution.of([0.2])
    assert summary.itl == Distribution.of([0.1, 0.4])
    assert summary.held_back == Distribution.of([1.1 - 1.01])
    assert summary.sent_late == Distribution.of([0.01])


def test_rates_are_of_what_was_completed_until_the_last_reply() -> None:
    summary = summary_of([CALL, WHOLE, refused(2, 4.0, 0.5)])
    assert (summary.seconds, summary.completed, summary.failed) == (5, 2, 1)
    assert summary.failed_share == pytest.approx(1 / 3)
    assert summary.request_rate == pytest.approx(2 / 5)
    assert summary.input_token_rate == pytest.approx(200 / 5)
    assert summary.output_token_rate == pytest.approx(60 / 5)
    assert summary.offered_rate == pytest.approx(3 / 4)
    assert (summary.input_tokens, summary.output_tokens) == (100, 30)


def test_failures_are_no_part_of_the_latencies_and_are_told_apart() -> None:
    gone = replace(CALL, number=9, outcome=Reply(status=None, error="disconnected", message="reset"))
    summary = summary_of([CALL, gone, refused(2, 4.0, 0.001), refused(3, 4.0, 0.003)])
    assert summary.e2el == Distribution.of([1.0])
    told = [(one.status, one.error, one.requests, one.message) for one in summary.failures]
    assert told == [(503, "server_overloaded", 2, "busy"), (None, "disconnected", 1, "reset")]
    assert summary.failures[0].latency.median == pytest.approx(2)


def test_tokens_per_forward_pass_are_of_all_passes_together() -> None:
    more = replace(CALL, outcome=replace(REPLY, usage=replace(REPLY.usage, forward_passes=12, committed_tokens=None)))
    summary = summary_of([CALL, more])
    assert summary.forward_passes == 8
    assert summary.tokens_per_forward_pass == pytest.approx((32 + 30) / 16)


def test_a_server_that_counts_nothing_gets_no_figures_for_it() -> None:
    summary = summary_of([replace(CALL, outcome=replace(REPLY, usage=Usage(), texts=()))])
    assert summary.request_rate > 0
    nothing = (summary.input_token_rate, summary.output_token_rate, summary.forward_passes, summary.ttft, summary.itl)
    assert nothing == (None,) * 5
    assert summary.tokens_per_forward_pass is None


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
    assert summary_of([CALL, WHOLE, refused(2, 4.0, 0.001)], goodput=limits).goodput == pytest.approx(good / 5)
    assert summary_of([CALL]).goodput is None


def test_the_peak_is_of_requests_that_were_at_the_server_at_the_same_time() -> None:
    spans = [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0), (3.5, 3.8), (3.6, 3.7)]
    calls = [replace(CALL, sent=sent, ended=ended) for sent, ended in spans]
    assert summary_of(calls).peak_concurrency == 3
    assert summary_of(calls[:3]).peak_concurrency == 2


def test_of_no_request_there_is_little_to_say() -> None:
    summary = summary_of([], interrupted=5)
    assert (summary.interrupted, summary.completed, summary.failed_share, summary.request_rate) == (5, 0, 0, 0)
    assert (summary.e2el, summary.offered_rate, summary.peak_concurrency) == (None, None, 0)


def test_a_row_holds_all_of_a_request() -> None:
    assert row_of(CALL) == {
        "number": 0,
        "due": 1.0,
        "begun": 1.01,
        "sent": 1.1,
        "ended": 2.0,
        "status": 200,
        "error": None,
        "finish_reason": "stop",
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "forward_passes": 4,
        "committed_tokens": 32,
        "texts": [1.2, 1.3, 1.7],
    }


def test_first_tokens_are_told_with_the_moment_at_which_they_were_due() -> None:
    assert first_tokens([CALL, WHOLE, refused(2, 4.0, 0.1)]) == [(1.0, pytest.approx(0.2))]
