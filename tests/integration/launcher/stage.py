"""A launcher in this process. Its children are stood in for, and do at once what a test wants of them."""

import asyncio
import signal
from collections import deque
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from launcher.console import Console
from launcher.health import Load
from launcher.launcher import Launcher, watch_of
from launcher.plan import Plan
from launcher.ports import Doors
from launcher.settings import command_line
from launcher.stack import Machine
from textdiffusion.signals import StopSignals
from textdiffusion.status import CONTROL

DEADLINE_SECONDS = 60
KILLED = -signal.SIGKILL
LAST_WORDS = {"worker": "error: model.safetensors is truncated", "router": "error: a certificate cannot be read"}
PIDS = count(2**22 + 1)  # no process has one of these


class HeardConsole(Console):
    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self._stage = stage

    def _write(self, stream: TextIO, line: str) -> None:
        del stream
        self._stage.hear(line)


class Actor:
    """Stands in for `launcher.child.Child`.

    It `does` nothing but serve until it is asked to end; or it "refuses" to start, "is-killed" when it starts,
    "never-serves", "hangs", so that it hears no signal either, or ignores one: "ignores-sigterm", "ignores-sigusr1".
    What else a router does is the state in which it has its workers.
    """

    def __init__(self, plan: Plan, console: Console, does: str) -> None:
        self.plan, self.does = plan, does
        self.pid = next(PIDS)
        self.last_lines: deque[str] = deque(maxlen=10)
        self._console = console
        self._exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._clock = asyncio.get_running_loop().time
        self._heard_at = self._clock()
        if does == "refuses":
            self._say(LAST_WORDS[plan.role])
            self.exit(1)
        elif does == "is-killed":
            self.exit(KILLED)
        else:
            self._say("up")

    @property
    def returncode(self) -> int | None:
        return self._exited.result() if self._exited.done() else None

    @property
    def runs(self) -> bool:
        return not self._exited.done()

    def exit(self, code: int) -> None:
        if self.runs:
            self._exited.set_result(code)

    def heard(self) -> float:
        return self._heard_at

    def tell(self, line: str) -> None:
        self._say(f"told {line}")

    def signal(self, number: int) -> None:
        if self.runs and self.does not in ("hangs", f"ignores-{signal.Signals(number).name.lower()}"):
            self._say("drained")
            self.exit(0)

    async def gone(self, seconds: float) -> bool:
        done, _ = await asyncio.wait({self._exited}, timeout=seconds)
        return bool(done)

    async def ended(self) -> int:
        return await asyncio.shield(self._exited)

    async def stop(self, grace_seconds: float) -> bool:
        self.signal(signal.SIGTERM)
        gone = await self.gone(grace_seconds)
        self.kill()
        return gone

    def kill(self) -> None:
        self.exit(KILLED)

    def _say(self, line: str) -> None:
        self._heard_at = self._clock()
        self.last_lines.append(line)
        self._console.relay(self.plan.name, line)


class ActorHealth:
    """Stands in for the health of a worker, known by its address, or of a router, known by its control socket."""

    def __init__(self, stage: "Stage", place: str) -> None:
        self._stage = stage
        self._place = place

    async def serves(self) -> bool:
        return await self.lives() and self._actor.does != "never-serves"

    async def lives(self) -> bool:
        return self._actor.runs and self._actor.does != "hangs"

    async def load(self) -> Load | None:
        return None

    async def details(self) -> Mapping[str, Any] | None:
        if not self._actor.runs:
            return None
        addresses = self._stage.option(self._actor, "workers").split(",")
        state = self._actor.does or "serving"
        reason = None if state == "serving" else "its tokenizer is another one"
        return {"workers": [{"address": address, "state": state, "reason": reason} for address in addresses]}

    async def close(self) -> None:
        pass

    @property
    def _actor(self) -> Actor:
        return self._stage.actor_at(self._place)


class Stage:
    """What a test sees of the launcher, and does to it."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.worker = self.router = ""  # what those that start from now on do
        self._actors: list[Actor] = []
        self._folder = folder
        self._read = 0
        self._news = asyncio.Event()
        self._signals = StopSignals()
        self._to_be_read = asyncio.Event()

    def launch(self, *arguments: str) -> None:
        line = command_line(["--port=0", *arguments])
        watch = watch_of(line)
        root = line.read()
        machine = Machine(self._folder, ["cpu"], {}, HeardConsole(self))
        launcher = Launcher(line, root, watch, Doors.of(root.router), machine)
        self._running = asyncio.create_task(launcher.run(self._signals, self._to_be_read))

    async def start(self, plan: Plan, console: Console) -> Actor:
        self._actors.append(Actor(plan, console, self.worker if plan.role == "worker" else self.router))
        return self._actors[-1]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def running(self) -> list[str]:
        return [actor.plan.name for actor in self._actors if actor.runs]

    @property
    def ended(self) -> bool:
        return self._running.done()

    def pid(self, name: str) -> int:
        return self._named(name).pid

    async def until(self, *several: str) -> "Stage":
        """Reads up to a line that has these words in it, and from there to one with the next ones."""
        for words in several:
            await asyncio.wait_for(self._until(words), DEADLINE_SECONDS)
        return self

    async def settled(self) -> None:
        """Has all that can go on without waiting go on."""
        for _ in range(1000):
            await asyncio.sleep(0)

    async def exit_code(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self._running), DEADLINE_SECONDS)

    def terminate(self) -> None:
        self._signals.received(asyncio.get_running_loop().time())

    def hang_up(self) -> None:
        self._to_be_read.set()

    def kill(self, name: str) -> None:
        self._named(name).kill()

    def hang(self, name: str) -> None:
        self.has(name, "hangs")

    def has(self, name: str, does: str) -> None:
        """Has one that runs do something else from now on."""
        self._named(name).does = does

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    def hear(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()

    def actor_at(self, place: str) -> Actor:
        return next(
            actor
            for actor in reversed(self._actors)
            if place in (actor.plan.address, actor.plan.environment.get(CONTROL))
        )

    @staticmethod
    def option(actor: Actor, name: str) -> str:
        return next(each.partition("=")[2] for each in actor.plan.command if each.startswith(f"--{name}="))

    def _named(self, name: str) -> Actor:
        return next(actor for actor in reversed(self._actors) if actor.plan.name == name)

    async def _until(self, words: str) -> None:
        while True:
            while self._read < len(self.lines):
                self._read += 1
                if words in self.lines[self._read - 1]:
                    return
            assert not self.ended, f"the launcher ended without saying {words!r}, but:\n{self.text}"
            self._news.clear()
            news = asyncio.create_task(self._news.wait())
            await asyncio.wait({news, self._running}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
