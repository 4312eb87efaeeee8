"""What a run says to whoever started it."""

from collections.abc import Iterator

from benchmarks.load.distribution import Distribution
from benchmarks.serve.summary import Failure, Summary
from testing.report import Table, number

MESSAGE_CHARACTERS = 80
LATE_SHARE = 0.05

_Named = tuple[str, Distribution]

LATENCIES: Table[_Named] = Table(
    {
        "milliseconds": lambda row: row[0],
        "mean": lambda row: number(row[1].mean),
        "median": lambda row: number(row[1].median),
        "p90": lambda row: number(row[1].p90),
        "p95": lambda row: number(row[1].p95),
        "p99": lambda row: number(row[1].p99),
        "max": lambda row: number(row[1].max),
    }
)
FAILURES: Table[Failure] = Table(
    {
        "failed with status": lambda failure: failure.status or "none",
        "error": lambda failure: failure.error,
        "requests": lambda failure: failure.requests,
        "median, ms": lambda failure: number(failure.latency.median),
        "p99, ms": lambda failure: number(failure.latency.p99),
        "it says": lambda failure: failure.message[:MESSAGE_CHARACTERS].replace("\n", " ").replace("|", "/"),
    }
)


def text_of(summary: Summary) -> str:
    """Markdown, and readable as it is."""
    parts = ["\n".join(_figures(summary))]
    named = [
        ("time to first token", summary.ttft),
        ("end-to-end latency", summary.e2el),
        ("between chunks", summary.itl),
        ("held back by --max-concurrency", summary.held_back if _was_held_back(summary) else None),
    ]
    if rows := [(name, distribution) for name, distribution in named if distribution]:
        parts.append(LATENCIES.whole(rows))
    if summary.failures:
        parts.append(FAILURES.whole(summary.failures))
    late, whole = summary.sent_late, summary.e2el
    if late and whole and late.p99 > LATE_SHARE * whole.median:
        told = f"Requests were sent up to {late.max:.1f} ms late, p99 {late.p99:.1f} ms"
        parts.append(f"{told}: this client got too little of the processor. The latencies include it.")
    return "\n\n".join(parts)


def _figures(summary: Summary) -> Iterator[str]:
    ended = summary.completed + summary.failed
    interrupted = f", {summary.interrupted} interrupted" if summary.interrupted else ""
    yield (
        f"- {ended} requests in {summary.seconds:.1f} s: {summary.completed} completed, "
        f"{summary.failed} failed ({summary.failed_share:.1%}){interrupted}"
    )
    offered = f" of {summary.offered_rate:.2f} offered" if summary.offered_rate else ""
    rates = [
        f"{summary.request_rate:.2f} requests/s{offered}",
        _rate(summary.input_token_rate, "input tokens/s"),
        _rate(summary.output_token_rate, "output tokens/s"),
        "" if summary.goodput is None else f"{summary.goodput:.2f} requests/s within --goodput",
    ]
    yield f"- {', '.join(filter(None, rates))}; at most {summary.peak_concurrency} at once"
    if summary.input_tokens is not None and summary.output_tokens is not None:
        yield f"- {summary.input_tokens:.1f} tokens a prompt, {summary.output_tokens:.1f} tokens a reply"
    if summary.forward_passes is not None and summary.tokens_per_forward_pass is not None:
        yield (
            f"- {summary.forward_passes:.1f} forward passes a reply, "
            f"{summary.tokens_per_forward_pass:.2f} tokens a forward pass"
        )


def _rate(rate: float | None, unit: str) -> str:
    return "" if rate is None else f"{rate:.1f} {unit}"


def _was_held_back(summary: Summary) -> bool:
    return summary.held_back is not None and summary.held_back.max > 1
