"""`python -m testing.faults`, or `just soak`: faults at random against a stack under load, and what becomes of it.

A launcher with two workers is asked for replies without a pause, while its processes are killed and stopped, its
settings changed and its clients leave. Each reply is compared with the one that came undisturbed. Exits with 0 only if
none was wrong, none was lost without a word, and nothing was left behind.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from testing.faults import page
from testing.faults.client import Client
from testing.faults.faults import Faults
from testing.faults.ledger import Deaths
from testing.faults.load import Load, undisturbed
from testing.faults.outcome import Outcome
from testing.faults.plan import faults
from testing.faults.stack import Configuration, Stack, folder_for, is_well, served, serving_workers
from testing.faults.watch import Watch
from testing.folders import DOCS, FIGURES
from testing.openai_client import connected
from testing.report import write_record
from textdiffusion.status import LauncherStatus
from textdiffusion.tasks import cancelled

WORKERS: Final = 2
CRASH_BUDGET: Final = 1_000_000
RECOVERY_SECONDS: Final = 180.0
FORGETTING_SECONDS: Final = 10.0
STOP_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.2
RESULT: Final = FIGURES / "soak.json"
PAGE: Final = DOCS / "reliability.md"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    configuration = Configuration(
        models=[served(workers=WORKERS)], router={"port": 0}, launcher={"crash_budget": CRASH_BUDGET}
    )
    with folder_for(configuration) as stack:
        try:
            outcome = asyncio.run(_soak(stack, configuration, arguments))
        finally:
            if arguments.log:
                arguments.log.write_text(stack.log, encoding="utf-8")
    for file in filter(None, (arguments.out, RESULT if arguments.write else None)):
        write_record(file, arguments, **outcome.figures, rows=outcome.rows)
    if arguments.write:
        page.write(PAGE, outcome.figures)
    print(page.text_of(outcome.figures))
    for problem in outcome.broken:
        print(f"NOT AS IT HAS TO BE: {problem}")
    print(json.dumps(outcome.figures["examples"], indent=1) if outcome.broken else "All is as it has to be.")
    return 1 if outcome.broken else 0


async def _soak(stack: Stack, configuration: Configuration, arguments: argparse.Namespace) -> Outcome:
    stack.launch()
    await stack.serves()
    deaths, began = Deaths(), time.monotonic()
    async with connected() as http:
        client = Client(http, stack.url)
        load = Load(client, await undisturbed(client), deaths, seed=arguments.seed)
        watch = Watch(stack)
        watching = asyncio.create_task(watch.run())
        injected = Faults(stack, load, deaths, configuration)
        async with load.running(arguments.requests_in_flight):
            plan = list(faults(arguments.faults, 60 * arguments.minutes, arguments.seed))
            await injected.run(plan)
            recovered = await _recovered(stack)
        held = await _held(stack)
        await cancelled(watching)
    stack.terminate()
    return Outcome(
        seconds=time.monotonic() - began,
        done=injected.done,
        ledger=load.ledger,
        samples=watch.samples,
        restarts=watch.restarts,
        processes=watch.names,
        recovered=recovered,
        held=held,
        exit_code=await stack.ended(STOP_SECONDS),
        left_behind=[" ".join(process.cmdline()) for process in stack.processes()],
    )


async def _recovered(stack: Stack) -> float | None:
    """The seconds until all processes serve, none if they do not."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < RECOVERY_SECONDS:
        status = await stack.status()
        if status and is_well(status) and len(serving_workers(status)) == WORKERS:
            return round(passed, 1)
        await asyncio.sleep(POLL_SECONDS)
    return None


async def _held(stack: Stack) -> int:
    """Requests that are not forgotten although they are answered or were left; waits a little for them to be."""
    give_up = time.monotonic() + FORGETTING_SECONDS
    while held := _requests(await stack.status()):
        if time.monotonic() > give_up:
            break
        await asyncio.sleep(POLL_SECONDS)
    return held


def _requests(status: LauncherStatus | None) -> int:
    """That its processes think they have."""
    processes = status["processes"] if status else []
    return sum((one["running_requests"] or 0) + (one["waiting_requests"] or 0) for one in processes)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just soak", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10, help="in which the faults come")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and the requests")
    parser.add_argument("--requests-in-flight", type=int, default=8)
    parser.add_argument("--out", type=Path, help="a JSON file for all figures, and every fault")
    parser.add_argument("--write", action="store_true", help="puts the figures into docs/")
    parser.add_argument("--log", type=Path, help="keeps what launcher and children said")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
