from benchmarks.load.open_loop import Call
from benchmarks.overload import Watch, summed_up
from benchmarks.serve.reply import Reply


def call(due: float, ended: float, status: int | None = 200, error: str | None = None) -> Call[Reply]:
    return Call(number=0, due=due, begun=due, sent=due + 0.5, ended=ended, outcome=Reply(status=status, error=error))


def test_those_admitted_those_refused_and_those_that_failed_are_told_apart() -> None:
    watch = Watch(probes=[0.001, 0.003], failed_probes=1, memory={"router": [2**20] * 10 + [3 * 2**20] * 10})
    calls = [
        call(due=1, ended=2),
        call(due=6, ended=9),
        call(due=2, ended=2.51, status=503, error="server_overloaded"),
        call(due=2, ended=4, status=503, error="queue_timeout"),
        call(due=3, ended=4, status=500, error="internal_error"),
        call(due=3, ended=4, status=None, error="disconnected"),
    ]
    phase = summed_up(calls, watch, rate=5, seconds=10)
    assert (phase.requests, phase.admitted, phase.refused, phase.timed_out) == (6, 2, 1, 1)
    assert phase.failed == {"internal_error": 1, "disconnected": 1}
    assert phase.admitted_latency_first_half
    assert phase.admitted_latency_second_half
    assert (phase.admitted_latency_first_half.max, phase.admitted_latency_second_half.max) == (1000, 3000)
    assert phase.refusal_latency
    assert phase.refusal_latency.max == 10
    assert phase.probe_latency
    assert (phase.probe_latency.max, phase.failed_probes) == (3, 1)
    assert phase.memory == {"router": (1, 3)}
