"""Runs the stack from its start to its stop, and changes it when its configuration has changed.

Exit codes: 0 stopped when asked, 1 the settings cannot be used, 2 the start failed, 3 its processes died too often.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

from launcher.ports import Doors
from launcher.runtime import STATUS_SOCKET
from launcher.settings import LauncherRoot
from launcher.stack import Machine, Stack
from launcher.status import Reporter, answering
from launcher.supervised import StartError
from launcher.watch import Watch
from textdiffusion.configuration import CommandLine, ConfigurationError
from textdiffusion.signals import StopSignals
from textdiffusion.status import Reload
from textdiffusion.tasks import cancelled, either, first_of

EXIT_STOPPED: Final = 0
EXIT_START_FAILED: Final = 2
EXIT_LOST: Final = 3

CLIENT_DEFAULT_URL: Final = "http://127.0.0.1:3001"


class Launcher:
    """One stack and its settings: those that were read last and could be used."""

    def __init__(
        self, line: CommandLine[LauncherRoot], root: LauncherRoot, watch: Watch, doors: Doors, machine: Machine
    ) -> None:
        """`watch` is older than `root`, so that it has seen what has changed since that was read."""
        self._line = line
        self._root = root
        self._doors = doors
        self._socket = machine.runtime / STATUS_SOCKET
        self._console = machine.console
        self._lost = asyncio.Event()
        self._stack = Stack(root, doors, machine, self._lost.set)
        self._reporter = Reporter(self._stack)
        self._watch = watch
        watch.follow(root.files)

    async def run(self, signals: StopSignals, to_be_read: asyncio.Event) -> int:
        """Serves until a signal asks to stop or nothing is left to serve; leaves no process behind. The exit code.

        Whoever sets `to_be_read` has the configuration read again.
        """
        async with answering(self._socket, self._reporter):
            force = asyncio.create_task(self._kill_once(signals.forced))
            try:
                return await self._serve(signals, to_be_read)
            except StartError as error:
                self._console.complain(str(error), error.lines)
                return EXIT_START_FAILED
            finally:
                self._reporter.state = "stopping"
                self._doors.close()  # the router alone decides now for how long it accepts connections
                await self._stack.stop()
                await cancelled(force)

    async def _serve(self, signals: StopSignals, to_be_read: asyncio.Event) -> int:
        stop = asyncio.create_task(signals.asked.wait())
        lost = asyncio.create_task(self._lost.wait())
        work = asyncio.create_task(self._start_and_follow(to_be_read))
        try:
            await first_of(stop, lost, work)
            if stop.done():
                return EXIT_STOPPED
            if lost.done():
                return EXIT_LOST
            await work
        finally:
            await cancelled(stop, lost, work)
        return EXIT_STOPPED

    async def _start_and_follow(self, to_be_read: asyncio.Event) -> None:
        await self._stack.start()
        self._announce()
        while True:
            self._reporter.state = "serving"
            await self._until_changed(to_be_read)
            self._reporter.state = "reloading"
            self._reporter.reload = await self._reload()

    async def _until_changed(self, to_be_read: asyncio.Event) -> None:
        watched = [self._watch.changed()] if self._root.launcher.watch else []
        await either(to_be_read.wait(), *watched)
        to_be_read.clear()

    async def _reload(self) -> Reload:
        """Reads the settings again and applies them: none if one of them cannot be used.

        If a process does not start, those stay that had been applied before it; see `Stack.apply`.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._watch = watch_of(self._line)
        try:
            root = self._line.read()
            doors = Doors.of(root.router, self._doors)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, it does not end what serves
            self._watch.follow(self._root.files)
            problems = error.problems if isinstance(error, ConfigurationError) else [repr(error)]
            self._console.say("the new configuration cannot be used, and nothing has changed:", "error")
            for problem in problems:
                self._console.say(f"    {problem}", "error")
            return {"at": at, "outcome": "rejected", "problems": problems}
        self._root = root
        self._watch.follow(root.files)
        self._console.log_format = root.logging.log_format
        try:
            changed = await self._stack.apply(root, doors)
        except StartError as error:
            self._console.complain(f"the new configuration could not be applied: {error}", error.lines)
            return {"at": at, "outcome": "failed", "problems": [str(error)]}
        finally:
            self._exchange(doors)
        self._console.say("the new configuration is applied" if changed else "nothing has changed for the processes")
        return {"at": at, "outcome": "applied", "problems": []}

    def _exchange(self, doors: Doors) -> None:
        """Closes what the router in charge does not use, be it the old doors or the new ones."""
        used = self._stack.doors_in_use
        for each in (self._doors, doors):
            each.close(but=used)
        moved, self._doors = used.url != self._doors.url, used
        if moved:
            self._announce()

    def _announce(self) -> None:
        url = self._doors.url
        models = ", ".join(str(model.id) for model in self._root.models)
        flag = "" if url == CLIENT_DEFAULT_URL else f"--url {url}/v1 "
        page = f"{url}/ in a browser, or " if self._root.router.playground else ""
        client = f'uv run client/client.py {flag}"Spell river"'
        self._console.announce(f"Ready: {url}/v1 (model {models}). Try: {page}{client}")

    async def _kill_once(self, forced: asyncio.Event) -> None:
        await forced.wait()
        self._console.say("second signal: ending every process now", "warning")
        self._stack.kill()


def watch_of(line: CommandLine[LauncherRoot]) -> Watch:
    """Of the file that settings are read from, as it is now."""
    return Watch(*([line.path] if line.path else []))
