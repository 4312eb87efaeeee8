"""From the command line to an exit code: signals first, then settings, then the processes."""

import asyncio
from collections.abc import Sequence

from launcher.console import Console
from launcher.devices import find_devices
from launcher.hangup import on_hangup
from launcher.launcher import EXIT_STOPPED, Launcher, watch_of
from launcher.ports import Doors
from launcher.report import report
from launcher.runtime import runtime_folder
from launcher.settings import command_line
from launcher.stack import Machine
from textdiffusion.configuration import ConfigurationError, exit_with
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
    root = line.settings()
    try:
        doors = Doors.of(root.router)
        with runtime_folder() as runtime:
            devices: list[str] = []

            async def find() -> None:
                devices.extend(await find_devices())

            await either(find(), signals.asked.wait())
            if not devices:
                return EXIT_STOPPED
            machine = Machine(runtime, devices, Console(root.logging.log_format))
            return await Launcher(line, root, watch, doors, machine).run(signals, to_be_read)
    except ConfigurationError as error:
        exit_with(error.problems, root.logging.log_format)
