"""Routers that come and go behind one socket, which stays: nobody who connects to it is refused, no request fails."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from testing.worker import FakeWorker, running
from tests.integration.router.processes import PATIENCE_SECONDS, RouterProcess, router_process, status_of
from textdiffusion.tasks import cancelled, holds_within

ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
SLOW = {**ASK, "model": "slow", "stream": True}
DONE = b"data: [DONE]\n\n"

Start = Callable[..., Awaitable[RouterProcess]]


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """The port that the launcher holds."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening


@pytest.fixture
def url(port: socket.socket) -> str:
    return f"http://127.0.0.1:{port.getsockname()[1]}"


@pytest.fixture
async def slow_worker(make_worker: Callable[..., FakeWorker]) -> AsyncIterator[FakeWorker]:
    """In the middle of each of its replies it waits until it is told to go on."""
    worker = make_worker(model_id="slow")
    worker.script.hang_after = 3
    async with running(worker):
        yield worker


@pytest.fixture
async def start(tmp_path: Path, port: socket.socket) -> AsyncIterator[Start]:
    """Starts routers on that port; each is known to accept there."""
    async with AsyncExitStack() as stack:

        async def start(name: str, *workers: FakeWorker, **more: Any) -> RouterProcess:
            arguments = [f"--workers={','.join(worker.address for worker in workers)}"]
            process = router_process(*arguments, control=tmp_path / f"{name}.sock", sockets=[port], **more)
            return await stack.enter_async_context(process)

        yield start


class Clients:
    """They ask one request after the other, on one connection or each on a new one, and forgive no failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._asking: list[asyncio.Task[None]] = []
        self.answered: list[int] = []

    def __enter__(self) -> Self:
        self._asking = [
            asyncio.create_task(self._ask(number, stream=stream, keep_alive=keep_alive))
            for number, (stream, keep_alive) in enumerate((s, k) for s in (False, True) for k in (False, True))
        ]
        self.answered = [0] * len(self._asking)
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._asking:
            task.cancel()

    async def more_answers(self) -> None:
        """Returns when each of them has had some more."""
        before = list(self.answered)
        enough = await holds_within(
            PATIENCE_SECONDS,
            lambda: self._failed or all(now > then + 5 for now, then in zip(self.answered, before, strict=True)),
        )
        assert enough, self.answered

    async def leave(self) -> None:
        """Raises what any of them has met."""
        for task in self._asking:
            if task.done():
                task.result()
        await cancelled(*self._asking)

    @property
    def _failed(self) -> bool:
        return any(task.done() for task in self._asking)

    async def _ask(self, number: int, *, stream: bool, keep_alive: bool) -> None:
        connector = aiohttp.TCPConnector(limit=1, force_close=not keep_alive)
        async with aiohttp.ClientSession(connector=connector) as http:
            while True:
                async with http.post(f"{self._url}/v1/chat/completions", json={**ASK, "stream": stream}) as answer:
                    text = await answer.read()
                assert answer.status == 200, text
                assert not stream or text.endswith(DONE)
                self.answered[number] += 1


async def test_a_newer_router_takes_over_and_no_request_is_lost(
    start: Start, url: str, worker: FakeWorker, slow_worker: FakeWorker
) -> None:
    old = await start("old", worker, slow_worker)
    await old.accepting()
    async with aiohttp.ClientSession() as patient, aiohttp.ClientSession() as idle:
        streams = [await patient.post(f"{url}/v1/chat/completions", json=SLOW) for _ in range(3)]
        assert [stream.status for stream in streams] == [200] * 3
        await status_of(idle, f"{url}/v1/models")  # and its connection stays
        with Clients(url) as clients:
            await clients.more_answers()
            new = await start("new", worker, slow_worker)
            await new.accepting()
            await clients.more_answers()
            old.process.send_signal(signal.SIGUSR1)
            await old.said("relieved")
            await clients.more_answers()
            readiness = await idle.get(f"{url}/health/ready")
            assert (readiness.status, readiness.headers["Connection"]) == (503, "close")
            assert "another router" in (await readiness.json())["reason"]
            slow_worker.go_on.set()
            assert all([(await stream.read()).endswith(DONE) for stream in streams])
            await patient.close()
            assert await old.ended() == 0
            await clients.more_answers()
            await clients.leave()
    assert "Traceback" not in old.log + new.log
    new.process.terminate()
    assert await new.ended() == 0


async def test_a_request_on_an_old_connection_is_served_and_the_next_finds_the_new_router(
    start: Start, url: str, worker: FakeWorker
) -> None:
    old = await start("old", worker)
    await old.accepting()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=600)) as http:
        await status_of(http, f"{url}/v1/models")
        new = await start("new", worker)
        await new.accepting()
        old.process.send_signal(signal.SIGUSR1)
        await old.said("relieved")
        answer = await http.post(f"{url}/v1/chat/completions", json={**ASK, "stream": True})
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert (await answer.read()).endswith(DONE)
        assert await old.ended() == 0
        answer = await http.post(f"{url}/v1/chat/completions", json=ASK)
        assert (answer.status, "Connection" in answer.headers) == (200, False)


async def test_a_router_that_is_relieved_lets_requests_have_the_time_that_they_may_take(
    start: Start, url: str, slow_worker: FakeWorker
) -> None:
    old = await start("old", slow_worker, TDI_ROUTER__DRAIN_SECONDS="0.1")
    await old.accepting()
    async with aiohttp.ClientSession() as patient:
        stream = await patient.post(f"{url}/v1/chat/completions", json=SLOW)
        old.process.send_signal(signal.SIGUSR1)
        await old.said("relieved")
        reading = asyncio.create_task(stream.read())
        done, _ = await asyncio.wait([reading], timeout=1)
        assert not done
        assert "draining" not in old.log
        slow_worker.go_on.set()
        assert (await reading).endswith(DONE)
    assert await old.ended() == 0


async def test_a_router_that_is_relieved_waits_no_longer_than_requests_may_take(
    start: Start, url: str, slow_worker: FakeWorker
) -> None:
    few = {"TDI_ROUTER__DRAIN_SECONDS": "0.1", "TDI_ROUTER__REQUEST_TIMEOUT_SECONDS": "1"}
    old = await start("old", slow_worker, **few)
    await old.accepting()
    async with aiohttp.ClientSession() as patient:
        stream = await patient.post(f"{url}/v1/chat/completions", json=SLOW)
        old.process.send_signal(signal.SIGUSR1)
        assert b'"code":"timeout"' in await asyncio.wait_for(stream.read(), PATIENCE_SECONDS)
    assert await old.ended() == 0


async def test_a_router_that_is_relieved_stops_at_once_if_it_is_told_to(
    start: Start, url: str, worker: FakeWorker
) -> None:
    old = await start("old", worker)
    await old.accepting()
    async with aiohttp.ClientSession() as idle:
        await status_of(idle, f"{url}/v1/models")
        old.process.send_signal(signal.SIGUSR1)
        await old.said("relieved")
        assert "draining" not in old.log
        old.process.terminate()
        assert await old.ended() == 0


async def test_whoever_connects_while_there_is_no_router_is_served_by_the_next(
    start: Start, url: str, worker: FakeWorker
) -> None:
    first = await start("first", worker)
    await first.accepting()
    await first.killed()
    async with aiohttp.ClientSession() as http:
        asked = [asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=ASK)) for _ in range(20)]
        done, _ = await asyncio.wait(asked, timeout=0.2)
        assert not done
        await (await start("second", worker)).accepting()
        answers = await asyncio.wait_for(asyncio.gather(*asked), PATIENCE_SECONDS)
    assert [answer.status for answer in answers] == [200] * 20  # and not 503: its worker was known by then


async def test_the_port_that_is_told_is_the_socket_s(start: Start, url: str, worker: FakeWorker) -> None:
    assert await (await start("router", worker)).url() == url


async def test_probes_are_taken_over_too(start: Start, worker: FakeWorker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe_port:
        ready = f"http://127.0.0.1:{probe_port.getsockname()[1]}/health/ready"
        old = await start("old", worker, probe_sockets=[probe_port])
        await old.accepting()
        new = await start("new", worker, probe_sockets=[probe_port])
        await new.accepting()
        assert await new.url("listening for probes") == ready.removesuffix("/health/ready")
        statuses = set[int]()

        async def probe() -> None:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
                while True:
                    statuses.add(await status_of(http, ready))

        probing = asyncio.create_task(probe())
        old.process.send_signal(signal.SIGUSR1)
        assert await old.ended() == 0
        assert not probing.done()
        await cancelled(probing)
        async with aiohttp.ClientSession() as http:
            statuses.add(await status_of(http, ready))
    assert statuses == {200}


async def test_the_launcher_sees_everything_and_needs_no_key(start: Start, url: str, worker: FakeWorker) -> None:
    router = await start("router", worker, TDI_ROUTER__API_KEYS='{"alice": "sk-alice"}')
    await router.accepting()
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    assert [one["address"] for one in (await router.health(headers=proxied))["workers"]] == [worker.address]
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health", headers=proxied) as stranger_s:
        assert (await stranger_s.json())["workers"] == []


async def test_a_control_socket_that_cannot_be_opened_is_told_in_a_sentence(
    port: socket.socket, tmp_path: Path
) -> None:
    async with router_process("--workers=127.0.0.1:1", control=tmp_path / "none" / "c.sock", sockets=[port]) as router:
        assert await router.ended() == 1
    assert "error: cannot listen on" in router.log
    assert "Traceback" not in router.log


async def test_a_socket_that_is_none_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with router_process(control=tmp_path / "c.sock", TDI_SOCKETS="99") as router:
        assert await router.ended() == 1
    (sentence,) = router.log.splitlines()
    assert sentence.startswith("error: TDI_SOCKETS: '99' is not")
