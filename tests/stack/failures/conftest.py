import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from testing.faults.client import Client
from testing.faults.load import undisturbed
from testing.faults.stack import Configuration, Stack, folder_for, is_well, served
from testing.openai_client import Reply, connected
from tests.stack.failures.scene import Scene

KEY = "the-key-that-clients-show"
PAIR = Configuration(
    models=[served(workers=2)], router={"port": 0, "api_keys": {"first": KEY}}, launcher={"crash_budget": 100}
)
STOP_SECONDS = 60


@dataclass(slots=True)
class LongRunning:
    """A stack for all who leave it able to serve, whatever they have changed."""

    stack: Stack
    configuration: Configuration  # as it is now
    expected: Mapping[str, Reply]


@pytest.fixture(scope="session")
def long_running() -> Iterator[LongRunning]:
    """In the end it has to stop as if nothing had been."""
    with folder_for(PAIR) as stack:

        async def begin() -> dict[str, Reply]:
            stack.launch()
            await stack.serves()
            async with connected(KEY) as http:
                return await undisturbed(Client(http, stack.url))

        yield LongRunning(stack, PAIR, asyncio.run(begin()))
        stack.terminate()
        assert asyncio.run(stack.ended(STOP_SECONDS)) == 0
        assert stack.processes() == []


@pytest.fixture
async def pair(long_running: LongRunning) -> Scene:
    """Two workers of the bundled model and a router, all of them well."""
    scene = Scene(long_running.stack, long_running.expected, KEY)
    await scene.until(is_well)
    return scene
