import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from launcher import restarts, supervised
from launcher.console import Console
from launcher.health import Load
from launcher.plan import Plan
from launcher.supervised import StartError, Supervised
from testing.waiting import eventually
from textdiffusion.settings import LauncherSettings

WAITS = "import signal; print('up', flush=True); signal.sigwait({signal.SIGTERM})"
ENDS_WHEN_TOLD = "import sys; sys.stdin.readline()"
IGNORED = signal.SIGCONT  # by whoever does not ask for it
FAILS = "import sys; sys.exit('there is no such file')"


class Recorder(Console):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str, level: str = "info") -> None:
        self.said.append(f"{level}: {text}")

    def relay(self, name: str, line: str) -> None:
        pass


@dataclass
class FakeHealth:
    """Says what it is told to say; how the process itself is makes no difference."""

    serving: bool = True
    living: bool = True
    closed: bool = False
    asked: int = 0  # whether it lives

    async def serves(self) -> bool:
        return self.serving

    async def lives(self) -> bool:
        self.asked += 1
        return self.living

    async def load(self) -> Load | None:
        return None

    async def close(self) -> None:
        self.closed = True


Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(supervised, "PROBE_SECONDS", 0.01)


@pytest.fixture
def console() -> Recorder:
    return Recorder()


@pytest.fixture
async def make(console: Recorder) -> AsyncIterator[Make]:
    """Supervises a script; what it does can be changed for its next start by `process.plan`."""
    made = []

    def make(script: str = WAITS, on_given_up: Callable[[], None] = lambda: None, **settings: Any) -> Supervised:
        known = {"unhealthy_seconds": 1, "start_timeout_seconds": 30, **settings}
        process = Supervised(plan(script), FakeHealth(), LauncherSettings(**known), console, on_given_up)
        made.append(process)
        return process

    yield make
    for process in made:
        await process.stop(30)


def plan(script: str) -> Plan:
    return Plan("child", "worker", "unix:/nowhere", [sys.executable, "-c", script], os.environ)


async def ready_again(process: Supervised, starts: int) -> None:
    await eventually(lambda: (process.state, process.starts) == ("ready", starts), 60)


async def test_a_process_serves_until_it_is_stopped(make: Make, gone: Callable[[int], bool]) -> None:
    process = make()
    await process.start()
    pid = process.pid
    assert process.state == "ready"
    await process.stop(30)
    assert (process.state, process.pid, process.starts, process.health.closed) == ("stopped", None, 1, True)
    assert gone(pid)


async def test_one_that_is_killed_is_explained_and_started_again(make: Make, console: Recorder) -> None:
    process = make()
    await process.start()
    os.kill(process.pid, signal.SIGKILL)
    await ready_again(process, 2)
    assert "signal 9 (SIGKILL)" in process.reason
    (told,) = [line for line in console.said if "died" in line]
    assert told.startswith("error: child died: it was ended by signal 9 (SIGKILL): most likely")
    assert console.said[-1] == "info: child is ready again"


async def test_one_that_ends_by_itself_without_an_error_is_started_again_too(make: Make) -> None:
    process = make("import sys; sys.stdin.readline()")
    await process.start()
    process.tell("end")
    await ready_again(process, 2)
    assert process.reason == "ended by itself, without an error"


async def test_one_that_is_not_healthy_for_too_long_is_killed_and_started_again(make: Make, console: Recorder) -> None:
    process = make()
    await process.start()
    os.kill(process.pid, signal.SIGSTOP)
    process.health.living = False
    await eventually(lambda: process.state == "unresponsive", 60)
    await eventually(lambda: process.starts == 2, 60)
    process.health.living = True
    await ready_again(process, 2)
    assert process.reason == "was not healthy for 1 s and was killed"
    assert "error: child died: it was not healthy for 1 s and was killed" in console.said


async def test_one_that_recovers_in_time_is_left_alone(make: Make) -> None:
    process = make(unhealthy_seconds=3600)
    await process.start()
    process.health.living = False
    await eventually(lambda: process.state == "unresponsive", 60)
    process.health.living = True
    await eventually(lambda: process.state == "ready", 60)
    assert process.starts == 1


async def test_one_that_dies_too_often_is_given_up_and_that_is_told(make: Make, console: Recorder) -> None:
    given_up = asyncio.Event()
    process = make(on_given_up=given_up.set, crash_budget=2)
    await process.start()
    process.plan = plan(FAILS)
    os.kill(process.pid, signal.SIGKILL)
    process.health.serving = False
    await asyncio.wait_for(given_up.wait(), 60)
    assert (process.state, process.starts) == ("failed", 3)
    assert "error: child died more than 2 times within 300 s; it is given up" in console.said


async def test_one_that_ends_while_it_starts_is_explained_with_its_last_lines(make: Make) -> None:
    process = make(FAILS)
    process.health.serving = False
    with pytest.raises(StartError, match="child failed to start: it ended with exit code 1") as told:
        await process.start()
    assert told.value.lines == ("there is no such file",)


async def test_one_that_does_not_begin_to_serve_is_killed(make: Make) -> None:
    process = make(start_timeout_seconds=0.2)
    process.health.serving = False
    with pytest.raises(StartError, match=r"child failed to start: it was not ready, said nothing for 0\.2 s"):
        await process.start()
    assert process.pid is None
    assert process.reason == "was not ready, said nothing for 0.2 s and was killed"


async def test_one_that_cannot_be_started_at_all_is_no_traceback(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    process = make()
    monkeypatch.setattr(sys, "executable", "/nowhere")
    process.plan = Plan("child", "worker", "unix:/nowhere", ["/nowhere"], os.environ)
    with pytest.raises(StartError, match="child cannot be started: No such file or directory"):
        await process.start()


async def test_what_fails_when_it_is_started_again_is_tried_again(make: Make) -> None:
    process = make()
    await process.start()
    process.plan = plan(FAILS)
    process.health.serving = False
    os.kill(process.pid, signal.SIGKILL)
    await eventually(lambda: process.starts >= 3, 60)
    process.plan = plan(WAITS)
    process.health.serving = True
    await eventually(lambda: process.state == "ready", 60)


async def test_one_that_is_stopped_while_it_waits_for_its_next_start_stays_stopped(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "FIRST_DELAY_SECONDS", 3600)
    monkeypatch.setattr(restarts, "LONGEST_DELAY_SECONDS", 3600)
    process = make()
    await process.start()
    os.kill(process.pid, signal.SIGKILL)
    await eventually(lambda: process.state == "waiting", 60)
    await process.stop(30)
    assert (process.state, process.starts) == ("stopped", 1)


async def test_one_that_leaves_on_a_signal_of_its_own_is_not_started_again(make: Make) -> None:
    process = make("import signal; print('up', flush=True); signal.sigwait({signal.SIGUSR1})")
    await process.start()
    await process.leave(signal.SIGUSR1, 30)
    assert (process.state, process.starts) == ("stopped", 1)


async def test_one_that_does_not_leave_is_stopped(make: Make) -> None:
    process = make("import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN); " + WAITS)
    await process.start()
    await process.leave(signal.SIGUSR1, 0.01)
    assert process.pid is None


@pytest.mark.parametrize(
    "end", [lambda process: process.leave(signal.SIGUSR1, 3600), lambda process: process.stop(3600)]
)
async def test_one_that_hangs_while_it_ends_is_killed_and_not_waited_for(
    make: Make, console: Recorder, monkeypatch: pytest.MonkeyPatch, end: Callable[[Supervised], Awaitable[None]]
) -> None:
    monkeypatch.setattr(supervised, "KILL_MARGIN_SECONDS", 0)
    process = make()
    await process.start()
    os.kill(process.pid, signal.SIGSTOP)
    # Of two signals that wait for a process the kernel gives it the one with the lower number first, and SIGTERM's is.
    await eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, 60)
    ending = asyncio.create_task(end(process))
    await eventually(lambda: process.state == "stopping", 60)
    process.health.living = False  # before, it would be killed as one in service
    await asyncio.wait_for(ending, 60)
    assert (process.state, process.pid, process.starts) == ("stopped", None, 1)
    assert console.said[-1] == "warning: child was not healthy for 1 s and was killed"


async def test_one_that_answers_while_it_ends_or_does_so_again_has_its_time(make: Make, console: Recorder) -> None:
    process = make(ENDS_WHEN_TOLD, unhealthy_seconds=3600)
    await process.start()
    process.health.living = False
    leaving = asyncio.create_task(process.leave(IGNORED, 3600))
    for living in (False, True):
        process.health.living, asked = living, process.health.asked
        await eventually(lambda asked=asked: process.health.asked > asked + 1, 60)
        assert (process.state, leaving.done()) == ("stopping", False)
    process.tell("end")
    await asyncio.wait_for(leaving, 60)
    assert not [line for line in console.said if "was killed" in line]


async def test_one_that_needs_a_moment_at_its_last_has_it_however_soon_others_are_killed(
    make: Make, console: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "KILL_MARGIN_SECONDS", 3600)
    process = make(ENDS_WHEN_TOLD)
    await process.start()
    process.health.living = False
    leaving = asyncio.create_task(process.leave(IGNORED, 3600))
    await eventually(lambda: process.health.asked > 1.5 / supervised.PROBE_SECONDS, 60)
    process.tell("end")
    await asyncio.wait_for(leaving, 60)
    assert not [line for line in console.said if "was killed" in line]


async def test_a_mistake_in_watching_one_that_ends_is_told_and_does_no_harm(make: Make, console: Recorder) -> None:
    process = make(ENDS_WHEN_TOLD)
    await process.start()

    async def fail() -> bool:
        raise LookupError("a mistake")

    process.health.lives = fail
    leaving = asyncio.create_task(process.leave(IGNORED, 3600))
    await eventually(lambda: "error: child cannot be watched any more: LookupError('a mistake')" in console.said, 60)
    process.tell("end")
    await asyncio.wait_for(leaving, 60)
    assert process.state == "stopped"


async def test_a_mistake_in_watching_is_told_and_does_no_harm(make: Make, console: Recorder) -> None:
    given_up = asyncio.Event()
    process = make(on_given_up=given_up.set)

    async def fail() -> bool:
        raise LookupError("a mistake")

    process.health.lives = fail
    await process.start()
    pid = process.pid
    await asyncio.wait_for(given_up.wait(), 60)
    assert (process.state, process.pid) == ("failed", pid)
    assert console.said[-1] == "error: child cannot be watched any more: LookupError('a mistake')"


async def test_one_that_was_given_up_can_be_started_again(make: Make) -> None:
    given_up = asyncio.Event()
    process = make(on_given_up=given_up.set, crash_budget=0)
    await process.start()
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.wait_for(given_up.wait(), 60)
    await process.start()
    assert process.state == "ready"
