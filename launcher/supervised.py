"""Keeps one process running: starts it, watches it, says how it died, starts it again.

A process can be dead without having ended: stopped, swapped out, stuck in a driver. So it is asked for its health all
the time, to its last end, and one that has not been healthy for a while is killed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from launcher.child import Child
from launcher.console import Console
from launcher.explain import explain_exit
from launcher.health import ANSWER_SECONDS, Health
from launcher.plan import Plan
from launcher.readiness import within
from launcher.restarts import Restarts
from launcher.settings import KILL_MARGIN_SECONDS
from textdiffusion.settings import LauncherSettings
from textdiffusion.status import ProcessState
from textdiffusion.tasks import cancelled, first_of

POLL_SECONDS: Final = 0.1
PROBE_SECONDS: Final = 1.0


class StartError(Exception):
    """A process does not begin to serve; `lines` are the last that it wrote."""

    def __init__(self, problem: str, lines: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.lines = lines


class Supervised:
    """One process of the stack, from its first start to its last end."""

    def __init__(
        self,
        plan: Plan,
        health: Health,
        settings: LauncherSettings,
        console: Console,
        on_given_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_given_up` is called when the process has died too often to be started again."""
        self.plan = plan
        self.health = health
        self.state: ProcessState = "starting"
        self.reason: str | None = None  # how it ended last: the end of a sentence that begins with its name
        self.starts = 0
        self.started_at = 0.0  # by the event loop's clock
        self._settings = settings
        self._console = console
        self._on_given_up = on_given_up
        self._restarts = self._full_budget()
        self._child: Child | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self._child.returncode is None else None

    @property
    def given_up(self) -> bool:
        """Whether it does not serve and is not started again."""
        return self.state == "failed"

    async def start(self) -> None:
        """Returns once the process serves; from then on it is kept serving. Raises `StartError`.

        One that was given up may be started again.
        """
        self._console.say(f"starting {self.plan.description}")
        self._restarts = self._full_budget()
        try:
            await self._start()
        except StartError:
            self.state = "failed"
            raise
        self._keeping = asyncio.create_task(self._keep())

    def tell(self, line: str) -> None:
        """Writes a line to the standard input of the process."""
        if self._child:
            self._child.tell(line)

    async def stop(self, grace_seconds: float) -> None:
        """Lets the process end its work within so many seconds, and starts it no more."""
        await self._leave_alone()
        if self._child:
            if self.pid is not None:
                self._console.say(f"stopping {self.name}")
            limit = grace_seconds + KILL_MARGIN_SECONDS
            if not await self._unless_sick(self._child, self._child.stop(limit)):
                self._console.say(f"{self.name} did not stop within {limit:g} s and was killed", "warning")
        await self.health.close()
        self.state = "stopped"

    async def leave(self, number: int, seconds: float) -> None:
        """Tells the process by a signal to end when it can, and stops it after so many seconds."""
        await self._leave_alone()
        if self._child:
            self._child.signal(number)
            await self._unless_sick(self._child, self._child.gone(seconds))
        await self.stop(0)

    def kill(self) -> None:
        if self._keeping:
            self._keeping.cancel()
        if self._child:
            self._child.kill()

    async def _leave_alone(self) -> None:
        self.state = "stopping"
        if self._keeping:
            await cancelled(self._keeping)

    async def _unless_sick(self, child: Child, end: Coroutine[Any, Any, bool]) -> bool:
        """What `end` says, which waits for the process to end; if it is not healthy for too long, it is killed."""
        if child.returncode is not None:
            return await end
        # An end in order, too, has moments at its last in which nobody answers any more.
        limit = max(self._settings.unhealthy_seconds, KILL_MARGIN_SECONDS)
        ending, sick = asyncio.create_task(end), asyncio.create_task(self._sick(limit))
        try:
            await first_of(ending, sick)
            if sick.done() and child.returncode is None:
                if error := sick.exception():
                    self._console.say(f"{self.name} cannot be watched any more: {error!r}", "error")
                else:
                    self._console.say(f"{self.name} was not healthy for {limit:g} s and was killed", "warning")
                    child.kill()
            return await ending
        finally:
            await cancelled(ending, sick)

    async def _keep(self) -> None:
        try:
            while self._child:
                self.reason = await self._end(self._child)
                self._console.complain(f"{self.name} died: it {self.reason}", self._child.last_lines)
                if not await self._started_again():
                    break
        except Exception as error:  # noqa: BLE001 - nobody watches the process any more, which must not go unnoticed
            self._console.say(f"{self.name} cannot be watched any more: {error!r}", "error")
        self.state = "failed"
        self._on_given_up()

    async def _started_again(self) -> bool:
        """Tries until the process serves, each time after as long a wait as seems wise; or gives it up."""
        while (delay := self._restarts.died()) is not None:
            self.state = "waiting"
            self._console.say(f"{self.name} starts again in {delay:.1f} s")
            await asyncio.sleep(delay)
            try:
                await self._start()
            except StartError as error:
                self._console.complain(str(error), error.lines)
            else:
                return True
        budget, window = self._settings.crash_budget, self._settings.crash_window_seconds
        self._console.say(f"{self.name} died more than {budget} times within {window:g} s; it is given up", "error")
        return False

    async def _start(self) -> None:
        self.state = "starting"
        self.starts += 1
        self.started_at = asyncio.get_running_loop().time()
        try:
            self._child = await Child.start(self.plan, self._console)
        except OSError as error:
            raise StartError(f"{self.name} cannot be started: {error.strerror}") from error
        await self._begin(self._child)
        self._restarts.served()
        self.state = "ready"
        self._console.say(f"{self.name} is ready{' again' if self.starts > 1 else ''}")

    async def _begin(self, child: Child) -> None:
        """Returns once it serves. Raises `StartError`, and then it runs no more."""
        limit = self._settings.start_timeout_seconds
        ended = asyncio.create_task(child.ended())
        serving = asyncio.create_task(within(limit, self._until_it_serves(), child.heard, self._still_loading))
        try:
            await first_of(ended, serving)
            if not ended.done() and serving.result():
                return
            if ended.done():
                self.reason = explain_exit(ended.result())
            else:
                child.kill()
                await ended
                self.reason = f"was not ready, said nothing for {limit:g} s and was killed"
        finally:
            await cancelled(ended, serving)
        raise StartError(f"{self.name} failed to start: it {self.reason}", tuple(child.last_lines))

    async def _until_it_serves(self) -> None:
        while not await self.health.serves():  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(POLL_SECONDS)

    def _still_loading(self, passed: float) -> None:
        self._console.say(f"{self.name} is still loading ({passed:.0f} s)")

    async def _end(self, child: Child) -> str:
        """How the process ended, be it by itself or by being killed for its health."""
        ended = asyncio.create_task(child.ended())
        sick = asyncio.create_task(self._sick(self._settings.unhealthy_seconds))
        try:
            await first_of(ended, sick)
            if ended.done():
                return explain_exit(ended.result())
            sick.result()
            child.kill()
            await ended
            return f"was not healthy for {self._settings.unhealthy_seconds:g} s and was killed"
        finally:
            await cancelled(ended, sick)

    async def _sick(self, seconds: float) -> None:
        """Returns once the process has not been healthy for so long."""
        clock = asyncio.get_running_loop().time
        leaving = self.state == "stopping"
        unhealthy = 0.0
        while unhealthy < seconds:
            asked_at = clock()
            lives = await self.health.lives()
            # Not simply what the clock says: it runs on while this launcher is stopped, and asks nobody.
            unhealthy = 0.0 if lives else unhealthy + PROBE_SECONDS + min(clock() - asked_at, ANSWER_SECONDS)
            if not leaving:
                self.state = "ready" if lives else "unresponsive"
            await asyncio.sleep(PROBE_SECONDS)

    def _full_budget(self) -> Restarts:
        return Restarts(self._settings.crash_budget, self._settings.crash_window_seconds)
