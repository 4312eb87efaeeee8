import asyncio
import os
import signal
import sys
from collections.abc import Callable

import pytest

from launcher.child import Child
from launcher.console import Console
from launcher.plan import Plan


class Recorder(Console):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.waiting: list[tuple[str, asyncio.Future[str]]] = []

    def relay(self, name: str, line: str) -> None:
        self.lines.append(f"{name} | {line}")
        for words, found in self.waiting:
            if words in line and not found.done():
                found.set_result(line)

    async def until(self, words: str) -> str:
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waiting.append((words, found))
        return await asyncio.wait_for(found, 60)


@pytest.fixture
async def console() -> Recorder:
    return Recorder()


async def start(console: Console, script: str) -> Child:
    plan = Plan("child", "worker", "unix:/nowhere", [sys.executable, "-c", script], os.environ)
    return await Child.start(plan, console)


async def test_both_pipes_are_relayed_to_the_last_line(console: Recorder) -> None:
    child = await start(console, "import os; os.write(1, b'out'); os.write(2, b'err'); os._exit(3)")
    assert await child.ended() == 3
    assert sorted(console.lines) == ["child | err", "child | out"]
    assert sorted(child.last_lines) == ["err", "out"]


async def test_a_line_longer_than_any_buffer_survives(console: Recorder) -> None:
    child = await start(console, "print('x' * 500_000); print('after')")
    assert await child.ended() == 0
    assert [len(line) for line in console.lines] == [500_008, 13]


async def test_much_on_one_pipe_does_not_block_the_other(console: Recorder) -> None:
    child = await start(console, "import sys; sys.stderr.write('y\\n' * 200_000); print('done')")
    assert await child.ended() == 0
    assert len(console.lines) == 200_001


async def test_a_progress_bar_is_a_sign_of_life(console: Recorder) -> None:
    child = await start(console, "print('50 %', end=input())")
    born_at = child.heard()
    child.tell("")
    await child.ended()
    assert child.heard() > born_at


async def test_a_child_is_told_lines_on_its_standard_input(console: Recorder) -> None:
    child = await start(console, "import sys; print([input(), input()]); sys.stdin.read()")
    child.tell("one")
    child.tell("twö")
    assert await console.until("one") == "['one', 'twö']"
    await child.stop(30)
    child.tell("nobody hears this")


async def test_a_child_that_goes_in_time_is_waited_for_no_longer(console: Recorder) -> None:
    child = await start(console, "import signal; print('up', flush=True); signal.sigwait({signal.SIGUSR1})")
    await console.until("up")
    assert not await child.gone(0.01)
    child.signal(signal.SIGUSR1)
    assert await child.gone(30)
    child.signal(signal.SIGUSR1)
    await child.ended()


async def test_a_child_that_obeys_is_not_killed(console: Recorder) -> None:
    child = await start(console, "import signal; print('up', flush=True); signal.sigwait({signal.SIGTERM})")
    assert await child.stop(30) is True
    assert child.returncode is not None


async def test_a_child_that_does_not_obey_is_killed_with_all_that_it_started(
    console: Recorder, gone: Callable[[int], bool]
) -> None:
    child = await start(
        console,
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print('grandchild', grandchild.pid, flush=True)\n"
        "grandchild.wait()\n",
    )
    pid = int((await console.until("grandchild")).split()[1])
    assert await child.stop(0.01) is False
    assert child.returncode == -9
    assert gone(pid)


async def test_a_grandchild_that_holds_the_pipes_does_not_hide_the_end_of_the_child(console: Recorder) -> None:
    child = await start(
        console,
        "import subprocess, sys\n"
        "code = 'import signal; signal.pause()'\n"
        "print('grandchild', subprocess.Popen([sys.executable, '-c', code], start_new_session=True).pid)\n",
    )
    assert await asyncio.wait_for(child.ended(), 60) == 0
    (line,) = console.lines
    os.kill(int(line.split()[-1]), signal.SIGKILL)
