"""`python -m benchmarks.serve`, or `just bench-serve`: open-loop load on any server that speaks OpenAI's API."""

import asyncio
import math
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.load.arrivals import arrivals
from benchmarks.load.event_loop import run
from benchmarks.load.open_loop import Clock, OpenLoop
from benchmarks.serve.client import Client, UnusableServerError, connected
from benchmarks.serve.plan import Plan, plan_of
from benchmarks.serve.plot import draw
from benchmarks.serve.prompts import Fit, bodies, fit_words, lengths_of
from benchmarks.serve.reply import Reply
from benchmarks.serve.report import text_of
from benchmarks.serve.summary import Calls, Summary, row_of, summary_of
from testing.report import write_record

EXIT_INTERRUPTED = 130
ONE_TOKEN_A_WORD = Fit(base=0, per_word=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Gives the exit status: 1 if no request was completed."""
    plan = plan_of(argv)
    try:
        model, calls, interrupted = run(_measure(plan))
    except UnusableServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there was anything to measure, or a second time
        return EXIT_INTERRUPTED
    summary = summary_of(calls, interrupted=interrupted, goodput=plan.goodput)
    print(text_of(summary))
    if plan.output:
        rows = [row_of(call) for call in calls]
        write_record(plan.output, configuration=_configuration(plan, model), summary=summary.record(), rows=rows)
    if plan.plot:
        draw(plan.plot, calls, _title(plan, model, summary))
    return 0 if summary.completed else 1


async def _measure(plan: Plan) -> tuple[str, Calls, int]:
    """The model that was asked, what came of the requests, and how many were interrupted."""
    key = os.environ.get("OPENAI_API_KEY")
    async with connected(plan.url, plan.endpoint, api_key=key, seconds=plan.timeout) as client:
        model = plan.model or await client.first_model()
        fit = await fit_words(client, plan, model)
        if fit is None:
            _say("The server does not count a prompt's tokens; a word is taken for one.")
        load = _load(client, plan, model, fit or ONE_TOKEN_A_WORD)
        calls = await _run_until_interrupted(load)
        return model, calls, load.begun - len(calls)


def _load(client: Client, plan: Plan, model: str, fit: Fit) -> OpenLoop[Reply]:
    rng = random.Random(plan.seed)  # noqa: S311 - a seed has to give the same again
    due = arrivals(plan.request_rate, rng, burstiness=plan.burstiness, requests=plan.num_prompts, seconds=plan.duration)
    requests = bodies(plan, model, [lengths_of(plan, number) for number in range(len(due))], fit)

    async def ask(number: int, clock: Clock) -> Reply:
        return await client.ask(requests[number], clock, stream=plan.stream)

    span = f" over {due[-1]:.0f} s" if due and due[-1] else ""
    _say(f"{len(due)} requests{span} to {model} at {plan.url}; Ctrl-C ends it early.")
    return OpenLoop(due, ask, plan.max_concurrency)


async def _run_until_interrupted(load: OpenLoop[Reply]) -> Calls:
    """What was measured until Ctrl-C counts; a second one finds nobody who would wait for anything."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        load.stop()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await load.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _configuration(plan: Plan, model: str) -> dict[str, Any]:
    """All settings, in values that JSON has."""
    settings = asdict(plan) | {"model": model}
    for name, value in settings.items():
        if isinstance(value, float) and math.isinf(value):
            settings[name] = "inf"
        elif name in ("output", "plot"):
            settings[name] = str(value) if value else None
    return settings


def _title(plan: Plan, model: str, summary: Summary) -> str:
    rate = "all at once" if math.isinf(plan.request_rate) else f"{plan.request_rate:g} requests/s"
    return f"{model}, {rate}, {summary.failed_share:.1%} failed"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
