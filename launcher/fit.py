"""`--check`: each worker that would be started says whether its model fits into the memory of its device.

Only a worker's own torch knows its device, so one is started for each, with the settings that it would have.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

from launcher.explain import explain_exit
from launcher.parent_death import killed_with_this_process
from launcher.plan import WorkerSpec, worker_plan
from textdiffusion.configuration import EXIT_BAD_CONFIGURATION


async def check_fit(specs: Sequence[WorkerSpec]) -> int:
    """Check one after the other, as each takes its time to import torch; return the exit code."""
    fits = [await _check(spec) for spec in specs]
    return 0 if all(fits) else EXIT_BAD_CONFIGURATION


async def _check(spec: WorkerSpec) -> bool:
    """Let a worker check its settings, and print its last line, which says what it has found."""
    plan = worker_plan(spec, "worker", Path("/"))
    command = killed_with_this_process(*plan.command, "--check")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=dict(plan.environment)
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = output.decode(errors="replace").strip().splitlines()
    found = lines[-1] if lines else f"the worker {explain_exit(process.returncode or 0)}"
    print(f"{spec.model} on {spec.device}: {found}", flush=True)  # noqa: T201 - what was asked for
    return process.returncode == 0
