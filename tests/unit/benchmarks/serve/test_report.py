from dataclasses import replace

from benchmarks.load.open_loop import Call
from benchmarks.serve.reply import Reply, Usage
from benchmarks.serve.report import text_of
from benchmarks.serve.summary import summary_of

USAGE = Usage(prompt_tokens=100, completion_tokens=30, forward_passes=4, committed_tokens=32)
CALL = Call(
    number=0,
    due=1.0,
    begun=1.0,
    sent=1.0,
    ended=2.0,
    outcome=Reply(status=200, texts=(1.2, 1.3), finish_reason="stop", usage=USAGE),
)


def test_what_nobody_told_is_left_out() -> None:
    bare = replace(CALL, outcome=Reply(status=200))
    told = text_of(summary_of([bare]))
    assert "tokens" not in told
    assert "time to first token" not in told
    assert "failed with status" not in told


def test_waiting_for_a_turn_is_told_if_there_was_any() -> None:
    held = replace(CALL, sent=1.5)
    assert "| held back by --max-concurrency | 500.0 " in text_of(summary_of([held]))
    assert "held back" not in text_of(summary_of([CALL]))


def test_a_client_that_was_late_itself_says_so() -> None:
    late = replace(CALL, begun=1.06, sent=1.06)
    assert "Requests were sent up to 60.0 ms late, p99 60.0 ms" in text_of(summary_of([late]))
    assert "Requests were sent" not in text_of(summary_of([replace(CALL, begun=1.04, sent=1.04)]))


def test_a_run_without_any_request_can_be_told() -> None:
    assert "1 interrupted" in text_of(summary_of([], interrupted=1))
