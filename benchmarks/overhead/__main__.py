"""`python -m benchmarks.overhead`, or `just bench-router`: what the router adds, and how many requests it can take.

An instant worker, a router and the client that puts the load on them, each a process of its own. The same requests go
straight to the worker over gRPC and through the router; the difference is the router's.
"""

import argparse
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from benchmarks.load import run_precisely
from benchmarks.overhead import report
from benchmarks.overhead.measuring import Bench, Measurement, Processes, opened, started
from testing.folders import FIGURES
from testing.report import write_record

WAYS = (("direct", False), ("router", False), ("hello", False), ("direct", True), ("router", True))
RATES = (500.0, 750.0, 1000.0, 1250.0, 1500.0, 1750.0, 2000.0, 2500.0, 3000.0)
STREAM_RATES = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 1000.0, 1250.0, 1500.0)
TRIES = 2  # at a rate before the router counts as too slow for it


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    with tempfile.TemporaryDirectory() as logs:
        try:
            with started(Path(logs), arguments.router_flags) as processes:
                compared, climbed = run_precisely(_measure(processes, arguments))
        except RuntimeError as error:
            sys.exit(f"error: {error}")
    print(report.text_of(compared, climbed))
    write_record(arguments.out / "router.json", arguments, **report.record_of(compared, climbed))
    report.draw(arguments.out / "router.png", climbed)


async def _measure(processes: Processes, arguments: argparse.Namespace) -> tuple[list[Measurement], list[Measurement]]:
    """All ways at one rate, and the router at rising ones."""
    async with opened(processes) as bench:
        await bench.check()
        compared = [_told(one) async for one in _compare(bench, arguments.rate, arguments.seconds, arguments.rounds)]
        climbed = [
            _told(one)
            for stream, rates in ((False, arguments.rates), (True, arguments.stream_rates))
            async for one in _climb(bench, rates, arguments.climb_seconds, stream=stream)
        ]
    return compared, climbed


async def _compare(bench: Bench, rate: float, seconds: float, rounds: int) -> AsyncIterator[Measurement]:
    """All ways at one rate, in turns, for a machine's speed drifts; the requests of a round are due alike."""
    for number in range(rounds):
        for target, stream in WAYS:
            yield await bench.measure(target, rate, seconds, stream=stream, seed=number)


async def _climb(bench: Bench, rates: Sequence[float], seconds: float, *, stream: bool) -> AsyncIterator[Measurement]:
    """The router at rising rates, up to the first that it does not keep up with in either of two tries."""
    for rate in rates:
        for attempt in range(TRIES):
            measured = await bench.measure("router", rate, seconds, stream=stream, seed=attempt)
            yield measured
            if measured.keeps_up:
                break
        else:
            return


def _told(one: Measurement) -> Measurement:
    """The same, once it stands on standard error, for whoever waits."""
    print(one.target, report.CLIMB.line(one), file=sys.stderr, flush=True)
    return one


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just bench-router", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second of the comparison")
    parser.add_argument("--seconds", type=float, default=20.0, help="that each of its measurements lasts")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison")
    parser.add_argument("--rates", type=_rates, default=RATES, help="that the router is tried at: 500,1000")
    parser.add_argument("--stream-rates", type=_rates, default=STREAM_RATES, help="the same for streamed replies")
    parser.add_argument("--climb-seconds", type=float, default=10.0, help="at each of those rates")
    parser.add_argument("--out", type=Path, default=FIGURES, help="the folder for the JSON file and the plot")
    parser.add_argument("router_flags", nargs="*", metavar="-- FLAG", help="settings of the router")
    return parser.parse_args(argv)


def _rates(text: str) -> tuple[float, ...]:
    return tuple(sorted(float(rate) for rate in text.split(",")))


if __name__ == "__main__":
    main()
