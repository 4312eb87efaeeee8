"""What the launcher says of itself, in /health."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from router.launcher_status import launcher_status
from testing.worker import FakeWorker

STATUS: dict[str, Any] = {
    "state": "serving",
    "pid": 7,
    "version": "0.1.0",
    "uptime_seconds": 3.5,
    "reload": None,
    "processes": [
        {
            "name": "worker-0",
            "role": "worker",
            "model": "fake",
            "device": "cpu",
            "address": "unix:/run/worker-0.sock",
            "pid": 8,
            "state": "ready",
            "reason": "was killed by signal 9",
            "restarts": 1,
            "uptime_seconds": 2.0,
            "memory_bytes": 1024,
            "running_requests": None,
            "waiting_requests": None,
        }
    ],
}
PROXIED = {"X-Forwarded-For": "203.0.113.9"}


@asynccontextmanager
async def launcher(path: Path, answer: web.Response | None) -> AsyncIterator[str]:
    """Answers so, or not at all."""

    async def status(_: web.Request) -> web.Response:
        if answer is None:
            await asyncio.Event().wait()
        assert answer
        return answer

    app = web.Application()
    app.add_routes([web.get("/status", status)])
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    try:
        yield str(path)
    finally:
        await runner.cleanup()


async def test_health_shows_what_the_launcher_says(router: Any, tmp_path: Path) -> None:
    async with launcher(tmp_path / "l.sock", web.json_response(STATUS)) as path:
        router.services.status_path = path
        assert (await router.get("/health"))[1]["launcher"] == STATUS


async def test_strangers_are_not_told(worker: FakeWorker, start_router: Any, tmp_path: Path) -> None:
    router = await start_router(worker.address, api_keys={"alice": "sk-alice"})
    async with launcher(tmp_path / "l.sock", web.json_response(STATUS)) as path:
        router.services.status_path = path
        async with router.http.get(f"{router.url}/health", headers=PROXIED) as response:
            assert (await response.json())["launcher"] is None


async def test_the_launcher_is_not_asked_for_what_it_asks_itself(router: Any, tmp_path: Path) -> None:
    """It asks in order to answer, and would be asked again for that, and so on."""
    async with launcher(tmp_path / "l.sock", web.json_response(STATUS)) as path:
        router.services.status_path = path
        async with router.asked_by_its_launcher(tmp_path / "control.sock") as health:
            details = await health.details()
    assert details["status"] == "ready"
    assert details["launcher"] is None


async def test_a_launcher_that_is_gone_changes_nothing_else(router: Any, tmp_path: Path) -> None:
    router.services.status_path = str(tmp_path / "nobody.sock")
    status, body = await router.get("/health")
    assert (status, body["status"], body["launcher"]) == (200, "ready", None)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        web.Response(text="not JSON"),
        web.json_response({"state": "serving"}),
        web.json_response(STATUS, status=500),
    ],
    ids=["silence", "text", "half", "error"],
)
async def test_what_the_launcher_should_not_say_is_as_good_as_nothing(
    tmp_path: Path, answer: web.Response | None
) -> None:
    async with launcher(tmp_path / "l.sock", answer) as path:
        assert await asyncio.wait_for(launcher_status(path, seconds=0.1), 60) is None
