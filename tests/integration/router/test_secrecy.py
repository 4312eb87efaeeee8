"""A key that is configured and used shows up in nothing that others read."""

import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from testing.waiting import eventually
from testing.worker import FakeWorker

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
PATIENCE_SECONDS = 60
KEY = "sk-TheKeyOfAlice"


@asynccontextmanager
async def router_process(output: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """All that it prints goes to the file `output`."""
    with output.open("w") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *arguments, stdout=file, stderr=file, env={**os.environ, "PYTHONPATH": "."}
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def command_line_of(process: asyncio.subprocess.Process) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_text()


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_ROUTER__API_KEYS", json.dumps({"alice": KEY}))


async def test_a_key_is_in_no_log_and_on_no_command_line(worker: FakeWorker, tmp_path: Path) -> None:
    output = tmp_path / "log"
    arguments = ("--port=0", f"--workers={worker.address}", "--log-level=debug")
    async with router_process(output, *arguments) as process:
        await eventually(lambda: "state=serving" in output.read_text())
        command_line = command_line_of(process)
        (url,) = re.findall(r"listening.*(http://[\w.:]+)", output.read_text())
        assert await statuses_with(KEY, url) == [200, 200, 401, 401, 401, 401, 400, 404]
        await send_what_is_not_http(KEY, url)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    log = output.read_text()
    assert log.count("key=alice") == 4
    assert log.count("error=invalid_api_key") == 4
    assert_unseen(KEY, log, command_line, str(worker.metadata))


async def test_print_config_hides_keys(tmp_path: Path) -> None:
    async with router_process(tmp_path / "config", "--print-config") as process:
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    config = (tmp_path / "config").read_text()
    assert '"alice": "**********"' in config
    assert_unseen(KEY, config)


def assert_unseen(key: str, *shown: str) -> None:
    assert key not in "".join(shown)
    assert hashlib.sha256(key.encode()).hexdigest() not in "".join(shown)


async def statuses_with(key: str, url: str) -> list[int]:
    """The key as it should be sent, then not quite, then where it does not belong."""
    right = {"Authorization": f"Bearer {key}"}
    requests = [
        (right, ASK),
        (right, {**ASK, "stream": True}),
        ({"Authorization": f"Bearer {key}x"}, ASK),
        ({"Authorization": f"Basic {key}"}, ASK),
        ({"Authorization": key}, ASK),
        ({"x-api-key": key}, ASK),
        (right, {**ASK, "api_key": key}),
        (right, {**ASK, "model": key}),
    ]
    statuses = []
    async with aiohttp.ClientSession() as http:
        for headers, body in requests:
            async with http.post(f"{url}/v1/chat/completions?key={key}", headers=headers, json=body) as response:
                await response.read()
                statuses.append(response.status)
    return statuses


async def send_what_is_not_http(key: str, url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    get = "GET / HTTP/1.1\r\nAuthorization: Bearer "
    for head in (f"{key} {key}", f"{get}\x00{key}", get + key * 1000):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}\r\n\r\n".encode())
        assert b" 400 " in await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
        writer.close()
