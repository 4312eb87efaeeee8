from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from benchmarks.load.distribution import Distribution
from benchmarks.load.open_loop import Call
from benchmarks.overhead.callers import Answer
from benchmarks.overhead.measurement import Measurement, measurement_of


def call(due: float, ended: float, **answer: Any) -> Call[Answer]:
    return Call(number=0, due=due, begun=due + 0.001, sent=due + 0.001, ended=ended, outcome=Answer(**answer))


def measured(calls: Sequence[Call[Answer]], **changes: Any) -> Measurement:
    cpu: Mapping[str, float] = {"router": 1.0, "client": 0.5}
    spent = {"cpu_seconds": cpu, "busy_seconds": 3.5}
    shape = {"target": "router", "stream": True, "rate": 2.0, "seconds": 10.0}
    return measurement_of(calls, **{**shape, **spent, **changes})


def test_latencies_count_from_when_a_request_was_due_and_failures_are_none_of_them() -> None:
    calls = [call(1.0, 1.03, first=1.01), call(2.0, 2.05, first=2.02), call(3.0, 3.0, error="server_overloaded")]
    one = measured(calls)
    assert one.latency == Distribution.of([0.03, 0.05])
    assert one.first == Distribution.of([0.01, 0.02])
    assert one.failures == {"server_overloaded": 1}
    assert (one.requests, one.offered_rate, one.completed_rate) == (3, 0.3, 0.2)
    assert one.sent_late
    assert one.sent_late.max == pytest.approx(1)


def test_processor_time_is_told_per_request_and_what_others_took_in_cores() -> None:
    one = measured([call(1.0, 1.1), call(2.0, 2.1)])
    assert one.cpu == {"router": 500_000, "client": 250_000}
    assert one.others == pytest.approx(0.2)
    assert measured([call(1.0, 1.1)], busy_seconds=1.0).others == 0


def test_replies_that_come_after_the_time_lower_the_completed_rate() -> None:
    assert measured([call(1.0, 1.1), call(9.9, 20.0)]).completed_rate == pytest.approx(2 / 20)
    assert measured([call(1.0, 1.1), call(9.9, 20.0, error="timeout")]).completed_rate == pytest.approx(1 / 10)


@pytest.mark.parametrize(
    ("latency", "failed", "keeps_up"), [(0.01, 0, True), (0.01, 2, True), (0.01, 3, False), (0.2, 0, False)]
)
def test_the_router_keeps_up_if_nearly_all_are_answered_and_soon(latency: float, failed: int, keeps_up: bool) -> None:
    good = [call(0.05 * number, 0.05 * number + latency) for number in range(100 - failed)]
    bad = [call(0.05, 0.06, error="server_overloaded") for _ in range(failed)]
    assert measured([*good, *bad]).keeps_up is keeps_up


def test_where_nothing_was_answered_it_does_not_keep_up() -> None:
    one = measured([call(1.0, 1.1, error="UNAVAILABLE")])
    assert (one.keeps_up, one.latency, one.completed_rate) == (False, None, 0)
    assert one.record()["keeps_up"] is False
    assert measured([]).keeps_up is False
