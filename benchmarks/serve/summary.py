"""From the requests, one by one, to the figures that sum them up."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

from benchmarks.load.distribution import Distribution
from benchmarks.load.open_loop import Call
from benchmarks.serve.reply import Reply

Calls = Sequence[Call[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Requests that failed in one way; `latency` says how fast they were told so, `message` is one of theirs."""

    status: int | None
    error: str
    requests: int
    latency: Distribution
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Latencies are of completed requests and count from when each was due; `interrupted` ones count for nothing.

    Rates are per second, from the beginning of the load until its last reply. Tokens are as the server counts them, and
    none where it does not.
    """

    seconds: float
    completed: int
    failed: int
    interrupted: int
    failed_share: float
    offered_rate: float | None
    request_rate: float
    input_token_rate: float | None
    output_token_rate: float | None
    input_tokens: float | None
    output_tokens: float | None
    forward_passes: float | None
    tokens_per_forward_pass: float | None
    peak_concurrency: int
    goodput: float | None
    ttft: Distribution | None
    e2el: Distribution | None
    itl: Distribution | None
    held_back: Distribution | None
    sent_late: Distribution | None
    failures: Sequence[Failure]

    def record(self) -> dict[str, Any]:
        return asdict(self)


def summary_of(calls: Calls, *, interrupted: int = 0, goodput: Mapping[str, float] | None = None) -> Summary:
    """`goodput` holds the most milliseconds to the first token, `ttft`, and to the last, `e2el`."""
    completed = [call for call in calls if not call.outcome.error]
    seconds = max((call.ended for call in calls), default=0.0)
    last_due = max((call.due for call in calls), default=0.0)
    good = [call for call in completed if _is_good(call, goodput or {})]
    inputs = _counts(completed, "prompt_tokens")
    outputs = _counts(completed, "completion_tokens")
    passes = _counts(completed, "forward_passes")
    return Summary(
        seconds=seconds,
        completed=len(completed),
        failed=len(calls) - len(completed),
        interrupted=interrupted,
        failed_share=(len(calls) - len(completed)) / len(calls) if calls else 0.0,
        offered_rate=len(calls) / last_due if last_due else None,
        request_rate=_rate(len(completed), seconds),
        input_token_rate=_rate(sum(inputs), seconds) if inputs else None,
        output_token_rate=_rate(sum(outputs), seconds) if outputs else None,
        input_tokens=_mean(inputs),
        output_tokens=_mean(outputs),
        forward_passes=_mean(passes),
        tokens_per_forward_pass=_tokens_per_pass(completed),
        peak_concurrency=_peak_concurrency(calls),
        goodput=_rate(len(good), seconds) if goodput else None,
        ttft=Distribution.of([first for call in completed if (first := _first_token(call)) is not None]),
        e2el=Distribution.of([call.latency for call in completed]),
        itl=Distribution.of([later - text for call in completed for text, later in pairwise(call.outcome.texts)]),
        held_back=Distribution.of([call.sent - call.begun for call in calls]),
        sent_late=Distribution.of([call.begun - call.due for call in calls]),
        failures=_failures(calls),
    )


def row_of(call: Call[Reply]) -> dict[str, Any]:
    """One request, seconds to the microsecond."""
    reply = call.outcome
    moments = {name: round(getattr(call, name), 6) for name in ("due", "begun", "sent", "ended")}
    told = {"status": reply.status, "error": reply.error, "finish_reason": reply.finish_reason}
    texts = [round(moment, 6) for moment in reply.texts]
    return {"number": call.number, **moments, **told, **asdict(reply.usage), "texts": texts}


def first_tokens(calls: Calls) -> list[tuple[float, float]]:
    """When each was due, and the seconds from then to its first token; of those completed that were streamed."""
    times = [(call.due, _first_token(call)) for call in calls if not call.outcome.error]
    return [(due, first) for due, first in times if first is not None]


def _first_token(call: Call[Reply]) -> float | None:
    return call.outcome.texts[0] - call.due if call.outcome.texts else None


def _is_good(call: Call[Reply], limits: Mapping[str, float]) -> bool:
    taken = {"ttft": _first_token(call), "e2el": call.latency}
    return all((seconds := taken[name]) is not None and 1e3 * seconds <= limit for name, limit in limits.items())


def _counts(calls: Calls, name: str) -> list[int]:
    return [count for call in calls if (count := getattr(call.outcome.usage, name)) is not None]


def _mean(counts: Sequence[int]) -> float | None:
    return sum(counts) / len(counts) if counts else None


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds else 0.0


def _tokens_per_pass(calls: Calls) -> float | None:
    """Committed tokens, those behind an end token among them, or the reply's where the server does not tell."""
    usages = [call.outcome.usage for call in calls if call.outcome.usage.forward_passes]
    passes = sum(usage.forward_passes or 0 for usage in usages)
    tokens = sum(usage.committed_tokens or usage.completion_tokens or 0 for usage in usages)
    return tokens / passes if passes else None


def _peak_concurrency(calls: Calls) -> int:
    """The most requests that were at the server at once; one that leaves as another comes was not there with it."""
    steps = sorted([(call.sent, 1) for call in calls] + [(call.ended, -1) for call in calls])
    return max(accumulate(step for _, step in steps), default=0)


def _failures(calls: Calls) -> list[Failure]:
    """The most frequent first."""
    kinds: dict[tuple[int | None, str], list[Call[Reply]]] = defaultdict(list)
    for call in calls:
        if call.outcome.error:
            kinds[call.outcome.status, call.outcome.error].append(call)
    failures = [
        Failure(status=status, error=error, requests=len(of_kind), latency=latency, message=of_kind[0].outcome.message)
        for (status, error), of_kind in kinds.items()
        if (latency := Distribution.of([call.latency for call in of_kind]))
    ]
    return sorted(failures, key=lambda failure: -failure.requests)
