"""From the command line to an exit code: signals first, then settings, then the processes."""

import asyncio
from collections.abc import Sequence

from launcher.console import Console
from launcher.devices import CPU, find_devices
from launcher.fit import check_fit
from launcher.hangup import on_hangup
from launcher.launcher import EXIT_STOPPED, Launcher, watch_of
from launcher.plan import worker_specs
from launcher.ports import Doors
from launcher.report import report
from launcher.runtime import runtime_folder
from launcher.settings import LauncherRoot, command_line
from launcher.stack import Machine
from textdiffusion.configuration import ConfigurationError, exit_with
from textdiffusion.memory import available_memory
from textdiffusion.signals import StopSignals
from textdiffusion.tasks import either


def main(argv: Sequence[str]) -> int:
    """Runs until stopped; the exit codes are those of `launcher.launcher`, or with `status` of `launcher.report`."""
    if argv and argv[0] == "status":
        return report(argv[1:])
    return asyncio.run(_main(argv))


async def _main(argv: Sequence[str]) -> int:
    signals, to_be_read = StopSignals.installed(), asyncio.Event()
    on_hangup(to_be_read.set, signals.asked.set)
    line = command_line(argv)
    watch = watch_of(line)
    root = line.usable_settings()
    if line.check:
        return await _check(root, signals.asked)  # beside a stack that runs, too: nothing of it is taken
    try:
        doors = Doors.of(root.router)
        with runtime_folder() as runtime:
            devices, memory = await _look_around(signals.asked)
            if not devices:
                return EXIT_STOPPED
            machine = Machine(runtime, devices, memory, Console(root.logging.log_format))
            return await Launcher(line, root, watch, doors, machine).run(signals, to_be_read)
    except ConfigurationError as error:
        exit_with(error.problems, root.logging.log_format)


async def _look_around(asked: asyncio.Event) -> tuple[list[str], dict[str, int]]:
    """Return the devices that there are, none if a signal comes first, and what memory they have left if known."""
    devices: dict[str, int | None] = {}

    async def find() -> None:
        devices.update(await find_devices())

    await either(find(), asked.wait())
    known = {name: free for name, free in devices.items() if free is not None}
    return list(devices), {CPU: available_memory(), **known}


async def _check(root: LauncherRoot, asked: asyncio.Event) -> int:
    devices, memory = await _look_around(asked)
    codes = []

    async def check() -> None:
        codes.append(await check_fit(worker_specs(root, devices, memory)))

    if devices:
        await either(check(), asked.wait())
    return codes[0] if codes else EXIT_STOPPED
