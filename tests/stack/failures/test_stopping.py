"""The end of a launcher, and beginnings that are none."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from testing.faults.stack import Configuration, folder_for, is_well, served
from tests.stack.failures.scene import LONG, Scene, named, send
from tests.stack.failures.standing_in import standing_in

ONE = Configuration(models=[served(workers=1)], router={"port": 0, "probe_port": 0, "settle_seconds": 1})
ALONE = {"OMP_NUM_THREADS": "1"}  # threads that wait for each other are slow on a machine that is busy
IN_FLIGHT = 4
STOP_SECONDS = 60
LEFT_SECONDS = 10  # from the death of a launcher to that of all that it had started
ECHO_SECONDS = 1  # in less the same signal would be taken for an echo of the first


@pytest.fixture
async def single() -> AsyncIterator[Scene]:
    """A stack with one worker."""
    with folder_for(ONE, ALONE) as stack:
        stack.launch()
        await stack.serves()
        yield Scene(stack, {})


async def probes(scene: Scene) -> list[tuple[int, int]]:
    """The status of readiness and of liveness, again and again until nobody answers."""
    url = re.findall(r"listening for probes.*(http://[\w.:]+)", scene.stack.log)[-1]
    seen = []
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                answers = []
                for path in ("ready", "live"):
                    async with http.get(f"{url}/health/{path}") as response:
                        answers.append(response.status)
            except (aiohttp.ClientError, OSError):
                return seen
            seen.append((answers[0], answers[1]))
            await asyncio.sleep(0.02)


async def asked_at_once(scene: Scene) -> "list[asyncio.Task[object]]":
    """Returns once the worker has all of them."""
    asking: list[asyncio.Task[object]] = [asyncio.create_task(scene.ask(LONG)) for _ in range(IN_FLIGHT)]
    await scene.until(lambda status: sum(one["running_requests"] or 0 for one in status["processes"][1:]) == IN_FLIGHT)
    return asking


async def test_a_signal_to_stop_lets_all_that_was_accepted_be_answered(single: Scene) -> None:
    alone = await single.ask(LONG)
    asking = await asked_at_once(single)
    probing = asyncio.create_task(probes(single))
    single.stack.terminate()
    asking.append(asyncio.create_task(single.ask(LONG)))  # it takes a moment until everyone knows
    assert await asyncio.gather(*asking) == [alone] * (IN_FLIGHT + 1)
    assert await single.stack.ended(STOP_SECONDS) == 0
    assert single.stack.processes() == []
    assert single.stack.runtime_folders == []
    ready, live = zip(*await probing, strict=True)
    assert list(ready) == sorted(ready)
    assert 503 in ready
    assert set(live) == {200}


async def test_a_second_signal_ends_all_at_once() -> None:
    with standing_in(worker_0=["hangs"]) as stack:
        stack.launch()
        await stack.serves()
        scene = Scene(stack, {})
        asking = asyncio.create_task(scene.ask())
        await scene.until(lambda status: status["processes"][0]["running_requests"] == 1)
        stack.terminate()
        await scene.until(lambda status: status["state"] == "stopping")
        await asyncio.sleep(ECHO_SECONDS)
        stack.terminate()
        await stack.ended(STOP_SECONDS)
        assert (await asking).lost
        assert stack.processes() == []
        assert "launcher | second signal: ending every process now" in scene.said


async def test_a_killed_launcher_leaves_no_process_though_one_is_stopped_and_the_next_one_clears_away_its_folder(
    single: Scene,
) -> None:
    launcher = psutil.Process(single.stack.pid)
    assert launcher.children() == launcher.children(recursive=True)  # or else these would be left
    asking = await asked_at_once(single)
    send(named(await single.until(is_well), "worker-0"), signal.SIGSTOP)
    single.stack.send(signal.SIGKILL)
    assert await single.stack.ended(STOP_SECONDS) == -signal.SIGKILL
    await asyncio.gather(*asking)
    give_up = asyncio.get_running_loop().time() + LEFT_SECONDS
    while single.stack.processes():
        assert asyncio.get_running_loop().time() < give_up
        await asyncio.sleep(0.1)
    (left,) = single.stack.runtime_folders
    os.utime(left, (0, 0))  # a folder that was made just now may be that of a launcher that begins
    single.stack.launch()
    await single.stack.serves()
    assert left not in single.stack.runtime_folders
    single.stack.terminate()
    assert await single.stack.ended(STOP_SECONDS) == 0
    assert single.stack.runtime_folders == []


async def test_a_full_disk_under_the_log_is_no_reason_not_to_serve() -> None:
    with standing_in(worker_0=["serves"]) as stack:
        stack.launch(output=Path("/dev/full"))
        await stack.serves()
        assert (await Scene(stack, {}).ask()).error is None
        stack.terminate()
        assert await stack.ended(STOP_SECONDS) == 0
        assert stack.processes() == []


async def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with folder_for(ONE.with_router(port=port)) as stack:
            stack.launch()
            assert await stack.ended(STOP_SECONDS) == 1
            assert stack.log == (
                f"error: router.port: {port} is in use on 127.0.0.1 already; "
                "choose another, or 0 for any that is free\n"
            )
