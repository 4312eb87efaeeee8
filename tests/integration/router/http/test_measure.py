import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from testing.waiting import eventually
from testing.worker import FakeWorker

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def requests(router: Any, route: str, method: str, status: int) -> float:
    labels = {"route": route, "method": method, "status": str(status)}
    return router.services.metrics.registry.get_sample_value("tdi_http_requests_total", labels) or 0


def errors(router: Any, code: str) -> float:
    return router.services.metrics.registry.get_sample_value("tdi_request_errors_total", {"code": code}) or 0


async def test_requests_are_counted_by_route_method_and_status(router: Any) -> None:
    await router.post(ASK)
    await router.post({**ASK, "model": "other"})
    await router.get("/health/live")
    assert (requests(router, CHAT, "POST", 200), requests(router, CHAT, "POST", 404)) == (1, 1)
    assert requests(router, "/health/live", "GET", 200) == 1
    labels = {"route": CHAT, "method": "POST"}
    registry = router.services.metrics.registry
    assert registry.get_sample_value("tdi_http_request_duration_seconds_count", labels) == 2


async def test_no_path_of_a_client_becomes_a_label(router: Any) -> None:
    for name in ("one", "two", "three"):
        await router.get(f"/{name}")
        await router.get(f"/v1/models/{name}")
    async with router.http.put(f"{router.url}{CHAT}") as response:
        assert response.status == 405
    assert requests(router, "unmatched", "GET", 404) == 3
    assert requests(router, "unmatched", "PUT", 405) == 1
    assert requests(router, "/v1/models/{id}", "GET", 404) == 3


async def test_errors_are_counted_by_code(router: Any, worker: FakeWorker) -> None:
    await router.post({**ASK, "model": "other"})
    await router.get("/nowhere")
    worker.script.fail_after = 2
    async with router.http.post(f"{router.url}{CHAT}", json={**ASK, "stream": True}) as response:
        assert response.status == 200
        await response.read()
    assert errors(router, "model_not_found") == 1
    assert errors(router, "invalid_request_error") == 1
    await eventually(lambda: errors(router, "no_healthy_workers") == 1)
    assert requests(router, CHAT, "POST", 200) == 1


@pytest.mark.parametrize(
    ("sent", "method", "status", "code"),
    [
        ("hello?\r\n\r\n", "other", 400, "invalid_http"),
        ("GET /ä HTTP/1.1\r\nHost: localhost\r\n\r\n", "other", 400, "invalid_http"),
        ("PUT / HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n", "PUT", 417, "invalid_request_error"),
    ],
)
async def test_what_is_refused_before_any_handler_runs_is_counted_once(
    router: Any, sent: str, method: str, status: int, code: str
) -> None:
    async with router.connection() as (reader, writer):
        writer.write(sent.encode())
        assert f" {status} ".encode() in await asyncio.wait_for(reader.readline(), 60)
    assert (requests(router, "unmatched", method, status), errors(router, code)) == (1, 1)


async def test_a_client_that_leaves_is_counted_as_499(
    start_router: Callable[..., Awaitable[Any]], worker: FakeWorker
) -> None:
    router = await start_router(worker.address)
    worker.script.hang_after = 0
    asked = asyncio.create_task(router.post(ASK))
    await worker.started.wait()
    asked.cancel()
    await eventually(lambda: requests(router, CHAT, "POST", 499) == 1)


async def test_a_client_that_leaves_with_the_whole_stream_is_not_counted_as_one_that_left(
    router: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_eof = web.StreamResponse.write_eof

    async def write_eof_and_close(response: web.StreamResponse, data: bytes = b"") -> None:
        """As if the client had hung up as soon as it had the last byte, which no handler is quick enough for."""
        request = response._req
        await write_eof(response, data)
        if request and request.transport:
            request.transport.close()

    monkeypatch.setattr(web.StreamResponse, "write_eof", write_eof_and_close)
    async with router.http.post(f"{router.url}{CHAT}", json={**ASK, "stream": True}) as response:
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    await eventually(lambda: requests(router, CHAT, "POST", 200) + requests(router, CHAT, "POST", 499) == 1)
    assert requests(router, CHAT, "POST", 200) == 1
