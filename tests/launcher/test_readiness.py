import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from launcher.readiness import WorkerRefusedError, router_ready, within

WORKERS = {"unix:/0": "worker-0", "unix:/1": "worker-1"}


def silent() -> float:
    """Nothing has ever been heard."""
    return float("-inf")


async def test_what_is_ready_in_time_is_waited_for() -> None:
    async def ready() -> None:
        await asyncio.sleep(0)

    assert await within(60, ready(), silent, pytest.fail)


async def test_what_is_never_ready_is_given_up_and_cancelled() -> None:
    given_up = asyncio.Event()

    async def ready() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    assert not await within(0.01, ready(), silent, pytest.fail)
    assert given_up.is_set()


async def test_a_long_wait_is_told_again_and_again() -> None:
    told: list[float] = []
    enough = asyncio.Event()

    def tell(passed: float) -> None:
        told.append(passed)
        if len(told) == 3:
            enough.set()

    async def ready() -> None:
        await enough.wait()

    assert await within(60, ready(), silent, tell, every=0.01)
    assert told == sorted(told)
    assert told[0] >= 0.01


async def test_an_error_of_the_wait_itself_is_not_hidden() -> None:
    async def ready() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await within(60, ready(), silent, pytest.fail)


async def test_a_sign_of_life_starts_the_clock_anew() -> None:
    clock = asyncio.get_running_loop().time
    told: list[float] = []
    enough = asyncio.Event()

    def tell(passed: float) -> None:
        told.append(passed)
        if len(told) == 3:
            enough.set()

    async def ready() -> None:
        await enough.wait()

    assert await within(0.001, ready(), lambda: clock() + 60, tell, every=0.01)


async def test_what_falls_silent_is_given_up_that_long_after_its_last_sign_of_life() -> None:
    clock = asyncio.get_running_loop().time
    last_sign = clock() + 0.1

    async def ready() -> None:
        await asyncio.Event().wait()

    assert not await within(0.05, ready(), lambda: last_sign, pytest.fail)
    assert clock() >= last_sign + 0.05


def health(status: str, first: str, second: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "workers": [
            {"address": "unix:/0", "state": first, "reason": None},
            {"address": "unix:/1", "state": second, "reason": reason},
        ],
    }


@pytest.fixture
async def router() -> AsyncIterator[Callable[..., Any]]:
    """Starts a router that reports these states of health, one after the other."""
    runners = []

    async def start(*reports: dict[str, Any]) -> str:
        left = list(reports)

        async def answer(_: web.Request) -> web.Response:
            return web.json_response(left.pop(0) if len(left) > 1 else left[0])

        app = web.Application()
        app.router.add_get("/health", answer)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("state", ["unreachable", "not serving"])
async def test_a_router_that_does_not_use_every_worker_yet_is_waited_for(
    router: Callable[..., Any], state: str
) -> None:
    url = await router(health("ready", "serving", state))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(router_ready(url, WORKERS), 0.3)


async def test_a_router_that_uses_every_worker_is_ready(router: Callable[..., Any]) -> None:
    url = await router(
        {"status": "not ready", "workers": []},
        health("ready", "serving", "unreachable"),
        health("ready", "serving", "serving"),
    )
    await asyncio.wait_for(router_ready(url, WORKERS), 30)


async def test_a_worker_that_the_router_refuses_ends_the_wait_with_the_reason(router: Callable[..., Any]) -> None:
    url = await router(health("ready", "serving", "refused", "its model has no tokenizer"))
    with pytest.raises(WorkerRefusedError, match="the router refuses worker-1: its model has no tokenizer"):
        await asyncio.wait_for(router_ready(url, WORKERS), 30)
