"""From the command line to an exit code: signals first, then settings, then the processes."""

import asyncio
from collections.abc import Sequence

from launcher.console import Console
from launcher.launcher import Launcher
from launcher.ports import free_port
from launcher.settings import launcher_settings
from textdiffusion.configuration import ConfigurationError, exit_with
from textdiffusion.signals import StopSignals


def main(argv: Sequence[str]) -> int:
    """Runs until stopped; the exit codes are those of `launcher.launcher`, and 1 for settings that cannot be used."""
    return asyncio.run(_main(argv))


async def _main(argv: Sequence[str]) -> int:
    signals = StopSignals.installed()
    settings = launcher_settings(argv)
    try:
        port = free_port(settings.router.host, settings.router.port)
    except ConfigurationError as error:
        exit_with(error.problems)
    return await Launcher(settings, port, Console(settings.logging.log_format)).run(signals)
