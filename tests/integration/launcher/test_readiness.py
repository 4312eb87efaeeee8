import asyncio

import pytest

from launcher.readiness import within


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
