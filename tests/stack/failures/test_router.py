"""Routers that die. Whoever was connected is cut off, and nobody else notices."""

import asyncio
import signal

import psutil

from testing.faults.client import Client
from testing.faults.faults import gone
from testing.faults.ledger import Verdict
from testing.faults.stack import is_well, routers
from testing.openai_client import connected
from tests.stack.failures.scene import SHORT, Scene, named, send
from tests.stack.failures.standing_in import configured, standing_in

NOTICED_SECONDS = 60


async def test_who_connects_while_there_is_no_router_waits_and_is_served_by_the_next(pair: Scene) -> None:
    (router,) = routers(await pair.until(lambda status: routers(status)[-1]["pid"]))
    death = pair.deaths.begin()
    async with pair.load() as load:
        send(router, signal.SIGKILL)
        asking = asyncio.create_task(pair.ask(SHORT))
        status = await pair.until(lambda status: named(status, router["name"])["pid"] not in (None, router["pid"]))
        pair.deaths.end(death)
        assert (await asking).choices == pair.expected[SHORT.name].choices
        await load.answered(8)
    assert not load.ledger.failed
    assert not load.ledger.refused
    assert load.ledger.attempts[Verdict.CUT] <= 4
    assert named(status, router["name"])["restarts"] == router["restarts"] + 1
    assert f"launcher | {router['name']} died: it was ended by signal 9 (SIGKILL)" in pair.said


async def test_one_that_hangs_after_another_has_taken_over_is_noticed_and_cuts_its_streams_off() -> None:
    with standing_in(unhealthy_seconds=2, worker_0=["hangs"]) as stack:
        stack.launch()
        await stack.serves()
        scene = Scene(stack, {})
        async with connected() as http:
            streaming = asyncio.create_task(Client(http, stack.url).ask(SHORT, stream=True))
            await scene.until(lambda status: routers(status)[0]["running_requests"] == 1)
            await scene.change(configured(workers=1).with_router(max_waiting_requests=1).text)
            old = named(await scene.until(lambda _: "relieved" in scene.said), "router")
            assert old["state"] == "stopping"
            send(old, signal.SIGSTOP)
            await asyncio.wait_for(gone(psutil.Process(old["pid"])), NOTICED_SECONDS)
            assert (await streaming).lost
        await scene.until(is_well)
        assert "launcher | router was not healthy for 5 s and was killed" in scene.said
