"""Workers that die again and again, or work no more."""

import signal

import pytest

from testing.faults.stack import Stack, is_well, serving_workers
from tests.stack.failures.scene import Scene, named, send
from tests.stack.failures.standing_in import REPLY, standing_in

STOP_SECONDS = 60


async def begun(stack: Stack) -> Scene:
    stack.launch()
    await stack.serves()
    return Scene(stack, {})


@pytest.mark.long
async def test_a_worker_that_fails_as_it_loads_again_is_started_once_more() -> None:
    with standing_in(worker_0=["serves", "exits", "serves"], worker_1=["serves"]) as stack:
        scene = await begun(stack)
        worker, _ = await scene.two_workers()
        send(worker, signal.SIGKILL)
        status = await scene.until(lambda status: is_well(status) and named(status, "worker-0")["restarts"] == 2)
        assert len(serving_workers(status)) == 2
        assert "launcher | worker-0 failed to start: it ended with exit code 1; its last lines:" in scene.said
        assert "launcher |     error: model.safetensors is truncated" in scene.said


@pytest.mark.long
async def test_a_worker_that_dies_too_often_is_given_up_and_the_other_serves_on() -> None:
    with standing_in(crash_budget=1, worker_0=["serves", "exits"], worker_1=["serves"]) as stack:
        scene = await begun(stack)
        worker, _ = await scene.two_workers()
        send(worker, signal.SIGKILL)
        await scene.until(lambda status: named(status, "worker-0")["state"] == "failed")
        assert (await scene.ask()).choices[0].text == REPLY
        assert "launcher | worker-0 died more than 1 times within 300 s; it is given up" in scene.said
        stack.terminate()
        assert await stack.ended(STOP_SECONDS) == 0


@pytest.mark.long
async def test_a_launcher_whose_last_worker_is_given_up_ends_with_3() -> None:
    with standing_in(crash_budget=1, worker_0=["serves", "exits"]) as stack:
        scene = await begun(stack)
        (worker,) = serving_workers(await scene.until(is_well))
        send(worker, signal.SIGKILL)
        assert await stack.ended(STOP_SECONDS) == 3
        assert "launcher | worker-0 died more than 1 times within 300 s; it is given up" in scene.said
        assert stack.processes() == []


@pytest.mark.long
async def test_a_worker_that_does_not_get_as_far_as_serving_ends_the_start_with_2() -> None:
    with standing_in(worker_0=["serves"], worker_1=["exits"]) as stack:
        stack.launch()
        assert await stack.ended(STOP_SECONDS) == 2
        assert "launcher | worker-1 failed to start: it ended with exit code 1; its last lines:" in stack.log
        assert stack.processes() == []


async def test_a_worker_that_fails_every_request_costs_nobody_a_reply() -> None:
    with standing_in(worker_0=["fails"], worker_1=["serves"]) as stack:
        scene = await begun(stack)
        replies = [await scene.ask() for _ in range(20)]
        assert [reply.choices[0].text for reply in replies if reply.choices] == [REPLY] * 20
