"""A config.toml that changes while clients ask: none of them is refused, whatever has to be replaced for it."""

from dataclasses import replace

import pytest

from testing.faults.stack import is_well, served, workers
from testing.openai_client import connected
from tests.stack.failures.conftest import KEY, LongRunning
from tests.stack.failures.scene import Scene, undisturbed_by
from textdiffusion.status import LauncherStatus

SECOND_KEY = "another-key-that-is-long-enough"


def pids(status: LauncherStatus) -> set[int | None]:
    return {worker["pid"] for worker in workers(status)}


@pytest.mark.long
async def test_workers_are_replaced_one_by_one_and_all_requests_answered(
    pair: Scene, long_running: LongRunning
) -> None:
    before = await pair.until(is_well)
    long_running.configuration = long_running.configuration.with_models(max_queued_requests=255)
    async with pair.load(in_flight=2) as load:
        status = await pair.change(long_running.configuration.text)
        await load.answered(4)
    assert undisturbed_by(load.ledger)
    assert status["reload"]
    assert status["reload"]["outcome"] == "applied"
    assert len(pids(status)) == 2
    assert not pids(status) & pids(before)


async def test_keys_and_limits_change_and_all_requests_are_answered(pair: Scene, long_running: LongRunning) -> None:
    before = await pair.until(is_well)
    assert (await pair.ask(key=SECOND_KEY)).error == "invalid_api_key"
    long_running.configuration = long_running.configuration.with_router(
        api_keys={"first": KEY, "second": SECOND_KEY}, requests_per_minute=100_000
    )
    async with pair.load(in_flight=2) as load:
        status = await pair.change(long_running.configuration.text)
        await load.answered(4)
    assert undisturbed_by(load.ledger)
    assert (await pair.ask(key=SECOND_KEY)).error is None
    assert pids(status) == pids(before)


@pytest.mark.long
async def test_settings_that_cannot_be_used_change_nothing_and_are_told(pair: Scene, long_running: LongRunning) -> None:
    before = await pair.until(is_well)
    async with pair.load(in_flight=2) as load:
        status = await pair.change(long_running.configuration.with_models(max_queued_requests="many").text)
        await load.answered(4)
    assert undisturbed_by(load.ledger)
    assert status["reload"]
    assert status["reload"]["outcome"] == "rejected"
    assert ["max_queued_requests" in problem for problem in status["reload"]["problems"]] == [True]
    assert [process["pid"] for process in status["processes"]] == [process["pid"] for process in before["processes"]]
    assert "launcher | the new configuration cannot be used, and nothing has changed:" in pair.said
    key = {"Authorization": f"Bearer {KEY}"}
    async with connected() as http, http.get(f"{pair.stack.url}/health", headers=key) as response:
        assert (await response.json())["launcher"]["reload"] == status["reload"]
    await pair.change(long_running.configuration.text)
    assert "launcher | nothing has changed for the processes" in pair.said


@pytest.mark.long
async def test_a_model_that_is_added_is_served_and_one_that_is_removed_is_not(
    pair: Scene, long_running: LongRunning
) -> None:
    now = long_running.configuration
    async with pair.load(in_flight=2) as load:
        added = await pair.change(replace(now, models=[*now.models, served("second", workers=1)]).text)
        assert (await pair.ask(model="second")).error is None
        removed = await pair.change(now.text)
        assert (await pair.ask(model="second")).error == "model_not_found"
    assert undisturbed_by(load.ledger)
    assert [worker["model"] for worker in workers(added)] == ["demo", "demo", "second"]
    assert [worker["model"] for worker in workers(removed)] == ["demo", "demo"]
