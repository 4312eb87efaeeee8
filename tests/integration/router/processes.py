"""Routers as processes, as a launcher starts them; what they log is read as it is written."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any

import aiohttp

from testing.waiting import eventually_async
from textdiffusion.status import CONTROL, PROBE_SOCKETS, SOCKETS
from textdiffusion.tasks import holds_within

PATIENCE_SECONDS = 60


class RouterProcess:
    def __init__(self, process: asyncio.subprocess.Process, control: Path) -> None:
        self.process = process
        self.log = ""
        self._control = control
        self._reading = asyncio.create_task(self._read())

    async def said(self, words: str) -> str:
        """The line of the log that says this, once there is one."""
        await holds_within(PATIENCE_SECONDS, lambda: words in self.log or self._reading.done())
        lines = [line for line in self.log.splitlines() if words in line]
        assert lines, self.log
        return lines[0]

    async def url(self, words: str = "listening url=") -> str:
        found = re.search(r"url=(http://\S+)", await self.said(words))
        assert found
        return found[1]

    async def health(self, **kwargs: Any) -> Any:
        """What it answers on its control socket."""
        connector = aiohttp.UnixConnector(str(self._control))
        async with aiohttp.ClientSession(connector=connector) as http, http.get("http://x/health", **kwargs) as answer:
            assert answer.status == 200
            return await answer.json()

    async def has_requests(self, **counts: int) -> None:
        async def has() -> bool:
            return bool((await self.health())["requests"] == counts)

        await eventually_async(has)

    async def accepting(self) -> None:
        """Returns when it says so in the way in which its launcher learns of it."""
        await asyncio.wait_for(self._answering(), PATIENCE_SECONDS)

    async def ended(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)
        await self._reading
        return code

    async def killed(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def _answering(self) -> None:
        while True:
            assert not self._reading.done(), self.log
            try:
                await self.health()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
            else:
                return

    async def _read(self) -> None:
        assert self.process.stderr
        while line := await self.process.stderr.readline():
            self.log += line.decode()


async def status_of(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as answer:
        await answer.read()
        return answer.status


@asynccontextmanager
async def router_process(
    *arguments: str, control: Path, sockets: Sequence[socket] = (), probe_sockets: Sequence[socket] = (), **more: str
) -> AsyncIterator[RouterProcess]:
    """`more` goes into its environment."""
    environment = {**os.environ, "PYTHONPATH": ".", CONTROL: str(control), **more}
    for name, handed in ((SOCKETS, sockets), (PROBE_SOCKETS, probe_sockets)):
        if handed:
            environment[name] = ",".join(str(each.fileno()) for each in handed)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "router",
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        pass_fds=[each.fileno() for each in (*sockets, *probe_sockets)],
    )
    router = RouterProcess(process, control)
    try:
        yield router
    finally:
        await router.killed()
        print(router.log)  # noqa: T201 - shown where a test fails
