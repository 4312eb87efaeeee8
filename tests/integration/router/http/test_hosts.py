"""Without keys, a website whose name points to this machine is refused; with them, or for others, any name does."""

from pathlib import Path
from typing import Any

import pytest

from testing.worker import FakeWorker


async def status_and_error(router: Any, host: str, path: str = "/v1/models") -> tuple[int, Any]:
    async with router.http.get(f"{router.url}{path}", headers={"Host": host}) as response:
        body = await response.json()
    return response.status, body.get("error")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:3001",
        "LOCALHOST",
        "localhost.",
        "app.localhost:80",
        "127.0.0.1",
        "127.8.9.1:1",
        "[::1]:1",
    ],
)
async def test_names_of_this_machine_are_answered(router: Any, host: str) -> None:
    assert (await status_and_error(router, host))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.1.5:3001", "[fe80::1]", "localhost:80@evil.example", ""]
)
@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics", "/nowhere"])
async def test_any_other_name_is_refused_in_words(router: Any, host: str, path: str) -> None:
    status, error = await status_and_error(router, host, path)
    assert (status, error["code"]) == (403, "host_not_allowed")
    assert "allowed_hosts" in error["message"]
    assert host in error["message"]


async def test_further_names_can_be_allowed(start_router: Any) -> None:
    router = await start_router(wait=False, allowed_hosts=("tdi.example.com", "[fe80::1]"))
    for host in ("tdi.example.com", "TDI.example.com:8080", "[fe80::1]:3001"):
        assert (await status_and_error(router, host))[0] == 200
    assert (await status_and_error(router, "example.com"))[0] == 403
    anything = await start_router(wait=False, allowed_hosts=("*",))
    assert (await status_and_error(anything, "evil.example"))[0] == 200


@pytest.mark.parametrize(
    "settings",
    [{"api_keys": {"alice": "sk-alice"}}, {"host": "0.0.0.0", "allow_anonymous": True}],  # noqa: S104
)
async def test_with_keys_or_for_other_machines_any_name_does(start_router: Any, settings: dict[str, Any]) -> None:
    router = await start_router(wait=False, **settings)
    assert (await status_and_error(router, "tdi.example.com", "/health"))[0] == 200


async def test_a_program_of_old_that_names_no_host_is_answered(router: Any) -> None:
    async with router.connection() as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert b" 200 " in await reader.readline()


async def test_a_second_host_does_not_hide_the_first(router: Any) -> None:
    async with router.connection() as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n")
        assert b" 200 " not in await reader.readline()


async def test_the_launcher_needs_no_name(router: Any, tmp_path: Path) -> None:
    async with router.asked_by_its_launcher(tmp_path / "control.sock") as launcher:
        assert await launcher.details()


async def test_a_text_is_not_written_for_a_website(router: Any, worker: FakeWorker) -> None:
    ask = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
    status, body = await router.post(ask, headers={"Host": "evil.example:3001"})
    assert (status, body["error"]["code"]) == (403, "host_not_allowed")
    assert not worker.requests
