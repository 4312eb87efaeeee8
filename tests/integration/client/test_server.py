import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from client.errors import NoServerError, RefusedError
from client.question import conversation, message
from client.server import Server
from tests.integration.client.served import Served

QUESTION = conversation([message("user", "ab")])


@pytest.fixture
def silent() -> Iterator[str]:
    """Where connections are accepted, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


async def test_a_server_that_says_nothing_is_not_waited_for_when_asked_for_its_models(silent: str) -> None:
    with pytest.raises(NoServerError) as said:
        await asyncio.wait_for(Server(silent, list_seconds=0.5).models(), 60)
    assert str(said.value) == f"{silent} accepted the connection, but did not answer within 0.5 s"


async def test_a_stream_that_falls_silent_has_broken_off(server: Served) -> None:
    server.hang = True
    chunks = Server(server.url, silence_seconds=0.5).stream(QUESTION)
    assert [(await anext(chunks)).text for _ in "ab"] == ["A", "B"]
    with pytest.raises(RefusedError, match=r"^the reply broke off: the server said nothing more for 0.5 s$"):
        await asyncio.wait_for(anext(chunks), 60)
    await asyncio.wait_for(server.left.wait(), 60)


async def test_a_client_that_was_suspended_takes_what_comes_then(server: Served) -> None:
    server.hang = True
    chunks = Server(server.url, silence_seconds=2).stream(QUESTION)
    assert [(await anext(chunks)).text for _ in "ab"] == ["A", "B"]
    end = asyncio.ensure_future(anext(chunks, None))
    await asyncio.sleep(0.01)
    time.sleep(2.1)  # noqa: ASYNC251 - nothing of this process runs meanwhile
    server.go_on.set()
    assert await end is None


async def test_a_stream_may_take_any_time_to_begin(server: Served) -> None:
    server.waiting_seconds = 0.2
    chunks = Server(server.url, silence_seconds=0).stream(QUESTION)
    assert (await anext(chunks)).text == "A"
    await chunks.aclose()
