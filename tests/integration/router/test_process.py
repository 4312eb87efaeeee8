"""The router as a process: how it starts, how it drains, and how it ends."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from testing.certificates import Authority
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.signals import ECHO_SECONDS, EXIT_FORCED
from textdiffusion.tls import server_credentials

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "stream": True}
PATIENCE_SECONDS = 60

MakeWorker = Callable[..., FakeWorker]
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@asynccontextmanager
async def router_process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "router",
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:
        yield lambda *arguments: stack.enter_async_context(router_process(*arguments))


async def line_with(process: asyncio.subprocess.Process, word: str) -> str:
    """The next line of the log that says this."""
    assert process.stderr
    while line := (await asyncio.wait_for(process.stderr.readline(), PATIENCE_SECONDS)).decode():
        if word in line:
            return line
    raise AssertionError(f"the router ended without saying {word!r}")


async def url_of(process: asyncio.subprocess.Process) -> str:
    found = re.search(r"http://[\w.:]+", await line_with(process, "listening"))
    assert found
    return found[0]


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_a_port_in_use_is_one_sentence_and_exit_code_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = await ended(await start(f"--port={port}"))
    assert code == 1
    (sentence,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert f"127.0.0.1:{port}" in sentence
    assert "in use" in sentence
    assert "Traceback" not in errors


async def test_it_is_json_where_that_is_the_format_of_the_log(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        _, errors = await ended(await start(f"--port={taken.getsockname()[1]}", "--log-format=json"))
    *_, last = map(json.loads, errors.splitlines())
    assert last["level"] == "error"
    assert "in use" in last["event"]


async def test_a_setting_that_is_wrong_is_one_sentence_and_exit_code_1(start: Start) -> None:
    code, errors = await ended(await start("--port=99999"))
    assert (code, errors.count("\n")) == (1, 1)
    assert "port" in errors


async def test_without_a_key_other_machines_are_not_served(start: Start) -> None:
    code, errors = await ended(await start("--port=0", "--host=0.0.0.0"))
    assert (code, errors.count("\n")) == (1, 1)
    assert all(way_out in errors for way_out in ("TDI_ROUTER__API_KEYS", "api_keys_file", "allow_anonymous"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers=10.0.0.1:50051"], "allow_plaintext_workers"),
        (["--workers-ca-file=missing.pem"], "missing.pem: cannot be read"),
    ],
)
async def test_workers_that_cannot_be_spoken_to_are_one_sentence_and_exit_code_1(
    start: Start, arguments: list[str], said: str
) -> None:
    code, errors = await ended(await start("--port=0", *arguments))
    assert (code, errors.count("\n")) == (1, 1)
    assert said in errors


async def test_a_handshake_that_fails_is_in_the_log_alone(
    start: Start, make_worker: MakeWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC would say it too, in lines that are no JSON."""
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    trusted, other = Authority(tmp_path / "trusted"), Authority(tmp_path / "other")
    async with running(make_worker(), credentials=server_credentials(other.issue("127.0.0.1"), None)) as worker:
        workers = (f"--workers={worker.address}", f"--workers-ca-file={trusted.ca_file}")
        process = await start("--port=0", "--log-format=json", *workers)
        assert process.stderr
        said = await asyncio.wait_for(process.stderr.readuntil(b"does not vouch"), PATIENCE_SECONDS)
    assert all(line.startswith(b"{") for line in said.splitlines())


async def test_a_file_of_keys_that_everyone_can_read_is_warned_about(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('alice = "sk-alice"')
    file.chmod(0o644)
    warning = await line_with(await start("--port=0", f"--api-keys-file={file}"), "warning")
    assert str(file) in warning
    assert "sk-alice" not in warning


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_router_ends_at_once_and_with_0(start: Start, number: signal.Signals) -> None:
    process = await start("--port=0")
    await url_of(process)
    process.send_signal(number)
    code, errors = await ended(process)
    assert code == 0
    assert "Traceback" not in errors


async def test_what_is_not_http_leaves_no_traceback(start: Start) -> None:
    process = await start("--port=0")
    host, port = (await url_of(process)).removeprefix("http://").split(":")
    for garbage in (b"hello?\r\n\r\n", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        assert b" 400 " in await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
        writer.close()
    process.terminate()
    code, errors = await ended(process)
    assert code == 0
    assert "Traceback" not in errors


async def test_a_request_that_runs_is_finished_while_nobody_new_gets_in(start: Start, worker: FakeWorker) -> None:
    process = await start("--port=0", f"--workers={worker.address}")
    url = await url_of(process)
    await line_with(process, "state=serving")
    worker.script.hang_after = 3
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", json=ASK) as response:
        assert response.status == 200
        process.terminate()
        await line_with(process, "draining")
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{url}/health/ready")
        worker.go_on.set()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    assert (await ended(process))[0] == 0


async def test_requests_that_outlast_the_grace_are_cut_off(start: Start, worker: FakeWorker) -> None:
    process = await start("--port=0", f"--workers={worker.address}", "--drain-seconds=0.1")
    url = await url_of(process)
    await line_with(process, "state=serving")
    worker.script.hang_after = 3
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", json=ASK):
        process.terminate()
        assert (await ended(process))[0] == 0
    await asyncio.wait_for(worker.cancelled.wait(), PATIENCE_SECONDS)


async def test_a_second_signal_does_not_wait(start: Start, worker: FakeWorker) -> None:
    process = await start("--port=0", f"--workers={worker.address}")
    url = await url_of(process)
    await line_with(process, "state=serving")
    worker.script.hang_after = 3
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", json=ASK):
        process.terminate()
        await line_with(process, "draining")
        code = asyncio.create_task(process.wait())
        while not (await asyncio.wait({code}, timeout=ECHO_SECONDS))[0]:  # what comes any earlier is an echo
            process.terminate()
        assert await code == EXIT_FORCED
    await eventually(lambda: worker.running == 0)


async def test_a_signal_that_comes_twice_at_once_loses_no_request(start: Start, worker: FakeWorker) -> None:
    """As from a terminal, whose Ctrl-C `uv run` passes on besides."""
    process = await start("--port=0", f"--workers={worker.address}")
    url = await url_of(process)
    await line_with(process, "state=serving")
    worker.script.hang_after = 3
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", json=ASK) as response:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        await line_with(process, "draining")
        worker.go_on.set()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    assert (await ended(process))[0] == 0


async def test_the_router_runs_where_torch_is_not_installed(worker: FakeWorker) -> None:
    """With torch out of reach the router loads its tokenizer, and nothing complains that torch is missing."""
    start = "import sys; sys.modules['torch'] = None; from router.__main__ import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", start, "--port=0", f"--workers={worker.address}", stderr=asyncio.subprocess.PIPE
    )
    await line_with(process, "state=serving")
    process.terminate()
    code, errors = await ended(process)
    assert code == 0
    assert "torch" not in errors.lower()


async def test_health_has_a_port_of_its_own_where_one_is_asked_for(start: Start) -> None:
    process = await start("--port=0", "--probe-port=0")
    url = (await line_with(process, "listening for probes")).partition("url=")[2].split()[0]
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health/live") as response:
        assert response.status == 200


async def test_a_probe_port_that_is_taken_is_told_in_a_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start("--port=0", f"--probe-port={taken.getsockname()[1]}")
        line = await line_with(process, "cannot listen")
    assert line.startswith("error: cannot listen on 127.0.0.1:")
    assert await process.wait() == 1
