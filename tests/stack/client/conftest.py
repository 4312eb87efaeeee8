from collections.abc import AsyncIterator

import pytest

from testing.terminal import Start, terminals


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    with terminals() as start:
        yield start
