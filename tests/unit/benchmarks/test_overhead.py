from typing import Any

import pytest

from benchmarks.load import Distribution, Summary
from benchmarks.overhead import report
from benchmarks.overhead.measuring import Measurement


def figures(median: float, p99: float) -> Distribution:
    return Distribution(mean=median, median=median, p90=p99, p95=p99, p99=p99, max=p99)


def measured(target: str, latency: Distribution | None, *, stream: bool = False, **changes: Any) -> Measurement:
    load: dict[str, Any] = {
        "requests": 3000,
        "completed": 3000,
        "failures": {},
        "lasted": 10.0,
        "offered_rate": 300.0,
        "completed_rate": 300.0,
        "latency": latency,
        "first_text": figures(1, 2) if stream else None,
        "lateness": figures(0.1, 0.2),
    }
    cpu = {"router": 700.0, "worker": 300.0, "client": 200.0}
    return Measurement(target=target, stream=stream, rate=300.0, load=Summary(**load | changes), cpu=cpu, others=0.05)


STREAMED = [measured("direct", figures(2.0, 4.0), stream=True), measured("router", figures(5.0, 9.0), stream=True)]
COMPARED = [
    *(measured("direct", figures(0.5, 1.0)), measured("router", figures(1.4, 3.0)), *STREAMED),
    *(measured("direct", figures(0.7, 2.0)), measured("router", figures(1.5, 7.0)), *STREAMED),
    *(measured("direct", figures(0.6, 1.5)), measured("router", figures(1.7, 6.0)), *STREAMED),
    measured("hello", figures(0.4, 0.9)),
]
CLIMBED = [
    measured("router", figures(1.5, 4.0), offered_rate=493.0, completed_rate=493.0),
    measured("router", figures(30.0, 400.0), offered_rate=990.0, completed_rate=900.0, failures={"busy": 7}),
    measured("router", figures(2.5, 40.0), offered_rate=1010.0, completed_rate=1009.0),
    measured("router", None, offered_rate=1250.0, completed_rate=0.0),
]


def test_what_is_added_is_the_median_of_the_differences_of_neighbours_in_time() -> None:
    median, p99, *streamed = report.added(COMPARED)
    assert (median.direct, median.router, round(median.added, 6), median.goal) == (0.6, 1.5, 0.9, 1.0)
    assert (p99.direct, p99.router, round(p99.added, 6), p99.goal) == (1.5, 6.0, 4.5, 5.0)
    told = [(row.what, row.quantile, row.added, row.goal) for row in streamed]
    assert told == [
        ("stream, first text", "median", 0, None),
        ("stream, first text", "p99", 0, None),
        ("stream, to its end", "median", 3, None),
        ("stream, to its end", "p99", 5, None),
    ]


def test_a_round_without_replies_adds_nothing_to_the_comparison() -> None:
    dead = [measured("direct", None), measured("router", figures(9.0, 9.0))]
    assert report.added([*dead, *COMPARED]) == report.added(COMPARED)
    assert report.added(dead) == []


@pytest.mark.parametrize(
    ("completed_rate", "p99", "keeps_up"), [(300, 10, True), (295, 10, True), (293, 10, False), (300, 101, False)]
)
def test_the_router_keeps_up_if_nearly_all_are_answered_and_soon(
    completed_rate: float, p99: float, keeps_up: bool
) -> None:
    assert measured("router", figures(1, p99), completed_rate=completed_rate).keeps_up is keeps_up
    assert not measured("router", None).keeps_up


def test_the_highest_rate_is_the_highest_that_was_kept_up_with() -> None:
    assert report.highest_rate(CLIMBED, stream=False) == 1009
    assert report.highest_rate(CLIMBED[1:2], stream=False) is None
    assert report.highest_rate(CLIMBED, stream=True) is None


def test_the_record_holds_every_measurement_and_what_they_come_down_to() -> None:
    record = report.record_of(COMPARED, CLIMBED)
    assert record["highest_rates"] == {"whole": 1009, "streamed": None}
    assert [one["keeps_up"] for one in record["climbed"]] == [True, False, True, False]
    assert len(record["compared"]) == len(COMPARED)
    assert record["added"][0].goal == 1
