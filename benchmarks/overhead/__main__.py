"""`python -m benchmarks.overhead`, or `just bench-router`: what the router adds, and how many requests it can take.

An instant worker, a router and the client that puts the load on them, each a process of its own. The same requests go
straight to the worker over gRPC and through the router; the difference is the router's.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.event_loop import run
from benchmarks.overhead import report
from benchmarks.overhead.measurement import Measurement
from benchmarks.overhead.measuring import Shape, climb, compare, opened
from benchmarks.overhead.plot import draw
from benchmarks.overhead.processes import Processes, running
from testing.folders import FIGURES
from testing.report import write_record

RATES = (500.0, 750.0, 1000.0, 1250.0, 1500.0, 1750.0, 2000.0, 2500.0, 3000.0)
STREAM_RATES = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 1000.0, 1250.0, 1500.0)
MIN_PROMPT = 32


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    shape = Shape(prompt_tokens=arguments.prompt_tokens, reply_tokens=arguments.reply_tokens, updates=arguments.updates)
    flags = arguments.router_flags
    try:
        with running(reply_tokens=shape.reply_tokens, updates=shape.updates, router_flags=flags) as processes:
            compared, climbed = run(_measure(processes, shape, arguments))
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    print(report.text_of(compared, climbed))
    configuration = {name: value for name, value in vars(arguments).items() if name != "out"}
    write_record(arguments.out / "router.json", configuration=configuration, **report.record_of(compared, climbed))
    draw(arguments.out / "router.png", climbed)


async def _measure(
    processes: Processes, shape: Shape, arguments: argparse.Namespace
) -> tuple[list[Measurement], list[Measurement]]:
    """All ways at one rate, and the router at rising ones."""
    async with opened(processes, shape) as bench:
        await bench.check()
        compared = [_told(one) async for one in compare(bench, arguments.rate, arguments.seconds, arguments.rounds)]
        climbed = [
            _told(one)
            for stream, rates in ((False, arguments.rates), (True, arguments.stream_rates))
            async for one in climb(bench, rates, arguments.climb_seconds, stream=stream)
        ]
    return compared, climbed


def _told(one: Measurement) -> Measurement:
    """The same, once it stands on standard error, for whoever waits."""
    kind = "streamed" if one.stream else "whole"
    latency = f"median {one.latency.median:.2f} ms, p99 {one.latency.p99:.2f} ms" if one.latency else "no reply"
    rates = f"{one.completed_rate:.0f} of {one.offered_rate:.0f} requests/s"
    print(f"{one.target:6} {kind:8} {rates}: {latency}", file=sys.stderr, flush=True)
    return one


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just bench-router", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second of the comparison")
    parser.add_argument("--seconds", type=float, default=20.0, help="that each of its measurements lasts")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison")
    parser.add_argument("--rates", type=_rates, default=RATES, help="that the router is tried at: 500,1000")
    parser.add_argument("--stream-rates", type=_rates, default=STREAM_RATES, help="the same for streamed replies")
    parser.add_argument("--climb-seconds", type=float, default=10.0, help="at each of those rates")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--reply-tokens", type=int, default=64)
    parser.add_argument("--updates", type=int, default=8, help="in which a streamed reply comes")
    parser.add_argument("--out", type=Path, default=FIGURES, help="the folder for the JSON file and the plot")
    parser.add_argument("router_flags", nargs="*", metavar="-- FLAG", help="settings of the router")
    arguments = parser.parse_args(argv)
    least = {"rate": 1, "seconds": 1, "rounds": 1, "climb_seconds": 1, "prompt_tokens": MIN_PROMPT, "reply_tokens": 1}
    for name, bound in least.items():
        if not getattr(arguments, name) >= bound:
            parser.error(f"--{name.replace('_', '-')} must be at least {bound}")
    if not 1 <= arguments.updates <= arguments.reply_tokens:
        parser.error("--updates must be at least 1, and at most --reply-tokens")
    return arguments


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(sorted(float(rate) for rate in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be like 500,1000, not {text!r}") from error
    if not all(1 <= rate < float("inf") for rate in rates):
        raise argparse.ArgumentTypeError(f"must be rates of at least 1, not {text!r}")
    return rates


if __name__ == "__main__":
    main()
