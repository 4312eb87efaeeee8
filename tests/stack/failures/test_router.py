"""Routers that die. Whoever was connected is cut off, and nobody else notices."""

import asyncio
import signal

from benchmarks.soak.ledger import Verdict
from benchmarks.soak.stack import routers
from tests.stack.failures.scene import SHORT, Scene, named, send


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
