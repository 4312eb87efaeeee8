"""Starts the workers, then the router; stops the router, then the workers.

In this order no request ever meets a stack that is half there. Exit codes: 0 stopped when asked, 2 the start failed,
3 a process died while serving.
"""

import asyncio
import os
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.child import Child
from launcher.console import Console
from launcher.explain import explain_exit
from launcher.plan import WorkerPlan, child_environment, plan_workers, router_command, router_environment
from launcher.ports import url_of
from launcher.readiness import WorkerRefusedError, router_ready, within, worker_serving
from launcher.settings import LauncherRoot
from textdiffusion.signals import StopSignals
from textdiffusion.tasks import cancelled, first_of, together

EXIT_STOPPED = 0
EXIT_START_FAILED = 2
EXIT_CHILD_DIED = 3

# More than a child is told, so that one that uses all its time still ends by itself.
KILL_MARGIN_SECONDS = 5.0
# By then the workers serve, and all that is left to load is a tokenizer.
ROUTER_START_SECONDS = 60.0
# The address of a unix socket holds 107 bytes, and the names of folder and socket come on top.
LONGEST_TEMPORARY_FOLDER = 60
CLIENT_DEFAULT_URL = "http://127.0.0.1:3001"


class StartError(Exception):
    """The stack cannot start, although no process has died; `child` is the one that is to blame, if there is one."""

    def __init__(self, problem: str, child: Child | None = None) -> None:
        super().__init__(problem)
        self.child = child


class Launcher:
    """The processes of one stack, from start to stop."""

    def __init__(self, settings: LauncherRoot, port: int, console: Console) -> None:
        self._settings = settings
        self._port = port
        self._url = url_of(settings.router.host, port)
        self._start_timeout = settings.launcher.start_timeout_seconds
        self._console = console
        self._workers: list[Child] = []
        self._routers: list[Child] = []
        self._died: asyncio.Future[Child] = asyncio.get_running_loop().create_future()

    async def run(self, signals: StopSignals) -> int:
        """Serves until a signal asks to stop or a process dies, and leaves no process behind. The exit code."""
        with runtime_folder() as runtime:
            try:
                return await self._serve(Path(runtime), signals)
            except StartError as error:
                self._complain(str(error), error.child)
                return EXIT_START_FAILED
            finally:
                await self._stop(signals)

    async def _serve(self, runtime: Path, signals: StopSignals) -> int:
        stop = asyncio.create_task(signals.asked.wait())
        start = asyncio.create_task(self._start(runtime))
        try:
            await first_of(stop, start, self._died)
            if start.done():
                start.result()
                self._announce()
                await first_of(stop, self._died)
            if stop.done():
                return EXIT_STOPPED
            child = self._died.result()
            reason = explain_exit(await child.ended())
            self._complain(f"{child.name} {'died' if start.done() else 'failed to start'}: it {reason}", child)
            return EXIT_CHILD_DIED if start.done() else EXIT_START_FAILED
        finally:
            await cancelled(stop, start)

    async def _start(self, runtime: Path) -> None:
        plans = plan_workers(self._settings, runtime)
        await together(*(self._start_worker(plan) for plan in plans))
        self._console.say(f"starting router on {self._url}")
        command, environment = router_command(self._settings, self._port, plans), router_environment(self._settings)
        router = await self._child("router", command, environment, self._routers)
        ready = router_ready(self._url, {plan.settings.listen: plan.name for plan in plans})
        try:
            await self._ready(router, ready, min(ROUTER_START_SECONDS, self._start_timeout))
        except WorkerRefusedError as error:
            raise StartError(str(error)) from error

    async def _start_worker(self, plan: WorkerPlan) -> None:
        worker = plan.settings
        self._console.say(f"starting {plan.name}: {worker.id} from {worker.model} on device {worker.device}")
        child = await self._child(plan.name, plan.command(self._settings), child_environment(), self._workers)
        await self._ready(child, worker_serving(worker.listen), self._start_timeout)

    async def _child(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], siblings: list[Child]
    ) -> Child:
        try:
            child = await Child.start(name, command, environment, self._console, self._on_exit)
        except OSError as error:
            raise StartError(f"{name} cannot be started: {error.strerror}") from error
        siblings.append(child)
        return child

    async def _ready(self, child: Child, ready: Coroutine[Any, Any, None], limit: float) -> None:
        def still_waiting(passed: float) -> None:
            self._console.say(f"{child.name} is still loading ({passed:.0f} s)")

        if not await within(limit, ready, lambda: child.heard_at, still_waiting):
            raise StartError(f"{child.name} is not ready, and has said nothing for {limit:g} s", child)
        self._console.say(f"{child.name} is ready")

    def _on_exit(self, child: Child) -> None:
        if not self._died.done():
            self._died.set_result(child)

    def _announce(self) -> None:
        models = ", ".join(str(model.id) for model in self._settings.models)
        url = "" if self._url == CLIENT_DEFAULT_URL else f"--url {self._url}/v1 "
        self._console.announce(
            f'Ready: {self._url}/v1 (model {models}). Try: uv run client/client.py {url}"Spell river"'
        )

    def _complain(self, problem: str, child: Child | None) -> None:
        lines = child.last_lines if child else ()
        self._console.say(f"{problem}; its last lines:" if lines else problem, "error")
        for line in lines:
            self._console.say(f"    {line}", "error")

    async def _stop(self, signals: StopSignals) -> None:
        force = asyncio.create_task(self._kill_once(signals.forced))
        try:
            for siblings in (self._routers, self._workers):
                await together(*(self._stop_child(child) for child in siblings))
        finally:
            await cancelled(force)

    async def _stop_child(self, child: Child) -> None:
        grace = self._settings.launcher.grace_seconds + KILL_MARGIN_SECONDS
        if child.returncode is None:
            self._console.say(f"stopping {child.name}")
        if not await child.stop(grace):
            self._console.say(f"{child.name} did not stop within {grace:g} s and was killed", "warning")

    async def _kill_once(self, forced: asyncio.Event) -> None:
        await forced.wait()
        self._console.say("second signal: ending every process now", "warning")
        for child in (*self._routers, *self._workers):
            child.kill()


def runtime_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder for sockets that only this user can enter; it is removed at the end."""
    usual = tempfile.gettempdir()
    parent = usual if len(os.fsencode(usual)) <= LONGEST_TEMPORARY_FOLDER else "/tmp"  # noqa: S108 - mkdtemp makes it private
    return tempfile.TemporaryDirectory(prefix="tdi-", dir=parent, ignore_cleanup_errors=True)
