from typing import Any

from benchmarks.load.distribution import Distribution
from benchmarks.overhead import report
from benchmarks.overhead.measurement import Measurement


def figures(median: float, p99: float) -> Distribution:
    return Distribution(mean=median, median=median, p90=p99, p95=p99, p99=p99, max=p99)


def measured(target: str, median: float, p99: float, **changes: Any) -> Measurement:
    shape: dict[str, Any] = {
        "target": target,
        "stream": False,
        "rate": 300.0,
        "requests": 3000,
        "offered_rate": 300.0,
        "completed_rate": 300.0,
        "failures": {},
        "latency": figures(median, p99),
        "first": None,
        "sent_late": figures(0.1, 0.2),
        "cpu": {"router": 700.0, "worker": 300.0, "client": 200.0},
        "others": 0.05,
    }
    return Measurement(**{**shape, **changes})


STREAMED = {"stream": True, "first": figures(1, 2)}
COMPARED = [
    *(measured("direct", 0.5, 1.0), measured("router", 1.4, 3.0), measured("hello", 0.4, 0.9)),
    *(measured("direct", 2.0, 4.0, **STREAMED), measured("router", 5.0, 9.0, **STREAMED)),
    *(measured("direct", 0.7, 2.0), measured("router", 1.5, 7.0), measured("hello", 0.6, 0.9)),
    *(measured("direct", 2.0, 4.0, **STREAMED), measured("router", 5.0, 9.0, **STREAMED)),
    *(measured("direct", 0.6, 1.5), measured("router", 1.7, 6.0), measured("hello", 0.5, 0.9)),
    *(measured("direct", 2.0, 4.0, **STREAMED), measured("router", 5.0, 9.0, **STREAMED)),
]
CLIMBED = [
    measured("router", 1.5, 4.0, rate=500.0, offered_rate=493.0, completed_rate=493.0),
    measured("router", 30.0, 400.0, rate=1000.0, offered_rate=990.0, completed_rate=900.0, failures={"busy": 7}),
    measured("router", 2.5, 40.0, rate=1000.0, offered_rate=1010.0, completed_rate=1009.0),
    measured("router", 2.5, 40.0, rate=1250.0, offered_rate=1250.0, completed_rate=1000.0, latency=None),
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
    dead = [measured("direct", 0.1, 0.1, latency=None), measured("router", 9.0, 9.0)]
    assert report.added([*dead, *COMPARED]) == report.added(COMPARED)
    assert report.added(dead) == []


def test_the_highest_rate_is_the_highest_that_was_kept_up_with() -> None:
    assert report.highest_rate(CLIMBED, stream=False) == 1009
    assert report.highest_rate(CLIMBED[1:2], stream=False) is None
    assert report.highest_rate(CLIMBED, stream=True) is None


def test_the_record_holds_every_measurement_and_what_they_come_down_to() -> None:
    record = report.record_of(COMPARED, CLIMBED)
    assert record["highest_rates"] == {"whole": 1009, "streamed": None}
    assert [one["keeps_up"] for one in record["climbed"]] == [True, False, True, False]
    assert len(record["compared"]) == len(COMPARED)
    assert record["added"][0]["goal"] == 1
