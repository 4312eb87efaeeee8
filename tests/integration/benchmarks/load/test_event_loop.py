import asyncio
import selectors
import time

import pytest

from benchmarks.load.event_loop import run


@pytest.mark.skipif(not hasattr(selectors, "EpollSelector"), reason="only epoll counts in milliseconds")
def test_a_wait_of_less_than_a_millisecond_takes_less_than_one() -> None:
    async def shortest_wait() -> float:
        waits = []
        for _ in range(50):
            began = time.perf_counter()
            await asyncio.sleep(0.0002)
            waits.append(time.perf_counter() - began)
        return min(waits)

    assert 0.0002 <= run(shortest_wait()) < 0.0009


def test_what_comes_over_the_network_still_wakes_it() -> None:
    async def echoed() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            said = await asyncio.wait_for(reader.readline(), 60)
            writer.close()
            return said

    assert run(echoed()) == b"hello\n"


def test_what_is_left_over_is_cancelled() -> None:
    left: list[asyncio.Task[bool]] = []

    async def leave_something() -> None:
        left.append(asyncio.create_task(asyncio.Event().wait()))
        await asyncio.sleep(0)

    run(leave_something())
    assert left[0].cancelled()


def test_what_goes_wrong_inside_comes_out() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run(fail())
