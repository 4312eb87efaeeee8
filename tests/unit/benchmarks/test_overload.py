from benchmarks.load import Call
from benchmarks.overload import summed_up
from testing.openai_client import Reply


def call(due: float, ended: float, status: int | None = 200, error: str | None = None) -> Call:
    return Call(due=due, sent=due + 0.5, ended=ended, reply=Reply(status=status, error=error))


def test_those_served_those_refused_and_those_that_failed_are_told_apart() -> None:
    probes, memory = [0.001, 0.003], [2**20] * 10 + [3 * 2**20] * 10
    calls = [
        call(due=1, ended=2),
        call(due=6, ended=9),
        call(due=2, ended=2.51, status=503, error="server_overloaded"),
        call(due=2, ended=4, status=503, error="queue_timeout"),
        call(due=3, ended=4, status=500, error="internal_error"),
        call(due=3, ended=4, status=None, error="disconnected"),
    ]
    phase = summed_up(calls, probes, memory, "twice", seconds=10)
    assert (phase.load.requests, phase.load.completed, phase.refused, phase.timed_out) == (6, 2, 1, 1)
    assert phase.load.failures == {"server_overloaded": 1, "queue_timeout": 1, "internal_error": 1, "disconnected": 1}
    assert phase.first_half
    assert phase.second_half
    assert (phase.first_half.max, phase.second_half.max) == (1000, 3000)
    assert phase.refusal
    assert phase.refusal.max == 10
    assert phase.probe
    assert phase.probe.max == 3
    assert phase.memory == (1, 3)
