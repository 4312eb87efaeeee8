"""Workers of the bundled model that are killed, stopped and paused while clients ask."""

import asyncio
import signal

import pytest

from testing.faults.stack import serving_workers
from tests.stack.failures.scene import Scene, named, nothing_failed, send, serves_again, undisturbed_by

NOTICED_SECONDS = 60
PAUSE_SECONDS = 3


async def test_a_killed_worker_costs_no_request_that_had_not_begun_and_is_back_soon(pair: Scene) -> None:
    victim, _ = await pair.two_workers()
    async with pair.load() as load:
        send(victim, signal.SIGKILL)
        await load.answered(4)
        status = await pair.until(lambda status: serves_again(status, victim))
    assert nothing_failed(load.ledger)
    now = named(status, victim["name"])
    assert now["restarts"] == victim["restarts"] + 1
    assert (now["reason"] or "").startswith("was ended by signal 9 (SIGKILL): most likely the machine")
    assert f"launcher | {victim['name']} died: it was ended by signal 9 (SIGKILL)" in pair.said
    assert f"launcher | {victim['name']} is ready again" in pair.said


async def test_a_worker_that_hangs_is_noticed_and_replaced_while_the_other_serves(pair: Scene) -> None:
    victim, other = await pair.two_workers()
    async with pair.load() as load:
        send(victim, signal.SIGSTOP)

        async def noticed() -> None:
            await pair.until(lambda status: named(status, victim["name"])["state"] != "ready")

        await asyncio.wait_for(noticed(), NOTICED_SECONDS)
        await pair.until(lambda status: serves_again(status, victim))
        await load.answered(4)
    assert nothing_failed(load.ledger)
    status = await pair.until(lambda status: len(serving_workers(status)) == 2)
    assert named(status, other["name"])["pid"] == other["pid"]
    assert f"launcher | {victim['name']} died: it was not healthy for 10 s and was killed" in pair.said


@pytest.mark.long
async def test_a_worker_that_pauses_for_a_moment_is_left_alone(pair: Scene) -> None:
    before = await pair.two_workers()
    async with pair.load() as load:
        send(before[0], signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        send(before[0], signal.SIGCONT)
        await load.answered(8)
    assert nothing_failed(load.ledger)
    assert [worker["pid"] for worker in await pair.two_workers()] == [worker["pid"] for worker in before]


async def test_a_worker_that_somebody_else_stops_answers_whom_it_has_and_is_replaced(pair: Scene) -> None:
    victim, _ = await pair.two_workers()
    async with pair.load() as load:
        send(victim, signal.SIGTERM)
        await pair.until(lambda status: serves_again(status, victim))
    assert undisturbed_by(load.ledger)
    assert f"launcher | {victim['name']} died: it ended by itself, without an error" in pair.said
