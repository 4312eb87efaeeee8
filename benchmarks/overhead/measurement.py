"""One way to the worker under one rate of requests: the figures, and what they say together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.load.distribution import Distribution
from benchmarks.load.open_loop import Call
from benchmarks.overhead.callers import Answer

KEPT_UP_SHARE = 0.98
KEPT_UP_P99 = 100.0  # milliseconds; beyond it requests pile up


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Rates are per second; `rate` is the one that was asked for, `offered_rate` what chance made of it.

    `latency` is that of completed requests, `first` until a stream's first text; both from when a request was due.
    `cpu` is microseconds of processor time per request, by process; `others` are the cores that were busy with anything
    else, and took what they took from these.
    """

    target: str
    stream: bool
    rate: float
    requests: int
    offered_rate: float
    completed_rate: float
    failures: Mapping[str, int]
    latency: Distribution | None
    first: Distribution | None
    sent_late: Distribution | None
    cpu: Mapping[str, float]
    others: float

    @property
    def keeps_up(self) -> bool:
        """Whether replies came as fast as requests, and none of them had to wait for long."""
        if self.latency is None:
            return False
        return self.completed_rate >= KEPT_UP_SHARE * self.offered_rate and self.latency.p99 <= KEPT_UP_P99

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"keeps_up": self.keeps_up}


def measurement_of(
    calls: Sequence[Call[Answer]],
    *,
    target: str,
    stream: bool,
    rate: float,
    seconds: float,
    cpu_seconds: Mapping[str, float],
    busy_seconds: float,
) -> Measurement:
    """From requests that were due within so many seconds; replies that came later lower the completed rate.

    `cpu_seconds` were spent by each of the processes, `busy_seconds` by the whole machine.
    """
    completed = [call for call in calls if call.outcome.error is None]
    lasted = max([seconds, *(call.ended for call in completed)])
    firsts = [call.outcome.first - call.due for call in completed if call.outcome.first is not None]
    return Measurement(
        target=target,
        stream=stream,
        rate=rate,
        requests=len(calls),
        offered_rate=len(calls) / seconds,
        completed_rate=len(completed) / lasted,
        failures=dict(Counter(call.outcome.error for call in calls if call.outcome.error)),
        latency=Distribution.of([call.latency for call in completed]),
        first=Distribution.of(firsts),
        sent_late=Distribution.of([call.begun - call.due for call in calls]),
        cpu={name: round(1e6 * taken / max(1, len(calls)), 1) for name, taken in cpu_seconds.items()},
        others=round(max(0.0, busy_seconds - sum(cpu_seconds.values())) / lasted, 3),
    )
