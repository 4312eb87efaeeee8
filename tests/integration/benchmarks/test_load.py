import asyncio
import selectors
import time

import pytest

from benchmarks.load import run_open_loop, run_precisely
from testing.openai_client import Clock, Reply

PATIENCE_SECONDS = 60


async def test_a_request_that_is_late_delays_no_other() -> None:
    last_has_begun = asyncio.Event()

    async def ask(number: int, clock: Clock) -> Reply:  # noqa: ARG001
        if number == 3:
            last_has_begun.set()
        await last_has_begun.wait()
        return Reply(message=str(number))

    calls = await asyncio.wait_for(run_open_loop([0.0, 0.001, 0.002, 0.003], ask), PATIENCE_SECONDS)
    assert [call.reply.message for call in calls] == ["0", "1", "2", "3"]


async def test_none_is_sent_before_it_is_due_and_its_latency_counts_from_then() -> None:
    async def ask(number: int, clock: Clock) -> Reply:
        assert clock() >= due[number]
        return Reply(message=str(number))

    due = [0.0, 0.02, 0.02, 0.05]
    calls = await run_open_loop(due, ask)
    assert [call.due for call in calls] == due
    assert all(call.due <= call.sent <= call.ended for call in calls)
    assert all(call.latency == call.ended - call.due for call in calls)


async def test_a_load_of_nothing_ends_at_once() -> None:
    async def ask(number: int, clock: Clock) -> Reply:  # noqa: ARG001
        return Reply(message=str(number))

    assert await run_open_loop([], ask) == []


async def test_a_mistake_of_the_asker_comes_out() -> None:
    async def ask(number: int, clock: Clock) -> Reply:
        raise LookupError(number, clock)

    with pytest.raises(LookupError):
        await run_open_loop([0.0], ask)


@pytest.mark.skipif(not hasattr(selectors, "EpollSelector"), reason="only epoll counts in milliseconds")
def test_a_wait_of_less_than_a_millisecond_takes_less_than_one() -> None:
    async def shortest_wait() -> float:
        waits = []
        for _ in range(50):
            began = time.perf_counter()
            await asyncio.sleep(0.0002)
            waits.append(time.perf_counter() - began)
        return min(waits)

    assert 0.0002 <= run_precisely(shortest_wait()) < 0.0009


def test_what_comes_over_the_network_still_wakes_it() -> None:
    async def echoed() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            said = await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
            writer.close()
            return said

    assert run_precisely(echoed()) == b"hello\n"
