"""Tells how the processes are, on a socket that the router and `just status` ask."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import psutil
from aiohttp import web

from launcher.stack import Stack
from launcher.supervised import Supervised
from textdiffusion import __version__
from textdiffusion.status import STATUS_PATH, LauncherStatus, ProcessStatus, Reload


class Reporter:
    """Collects what `LauncherStatus` says."""

    def __init__(self, stack: Stack) -> None:
        self.state: Literal["starting", "serving", "reloading", "stopping"] = "starting"
        self.reload: Reload | None = None
        self._stack = stack
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._clock()

    async def status(self) -> LauncherStatus:
        """Takes no longer than a process may take to answer, however many there are."""
        return {
            "state": self.state,
            "pid": os.getpid(),
            "version": __version__,
            "uptime_seconds": self._clock() - self._started_at,
            "reload": self.reload,
            "processes": list(await asyncio.gather(*map(self._process, self._stack.processes))),
        }

    async def _process(self, process: Supervised) -> ProcessStatus:
        plan, pid = process.plan, process.pid
        load = await process.health.load() if process.state == "ready" else None
        return {
            "name": plan.name,
            "role": plan.role,
            "model": plan.model,
            "device": plan.device,
            "address": plan.address,
            "pid": pid,
            "state": process.state,
            "reason": process.reason,
            "restarts": max(process.starts - 1, 0),
            "uptime_seconds": None if pid is None else self._clock() - process.started_at,
            "memory_bytes": None if pid is None else _memory(pid),
            "running_requests": load.running if load else None,
            "waiting_requests": load.waiting if load else None,
        }


@asynccontextmanager
async def answering(path: Path, reporter: Reporter) -> AsyncIterator[None]:
    """Answers on the unix socket at `path` for as long as the context lasts."""

    async def status(_: web.Request) -> web.Response:
        return web.json_response(await reporter.status())

    app = web.Application()
    app.add_routes([web.get(STATUS_PATH, status)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield
    finally:
        await runner.cleanup()


def _memory(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
