import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from client.client import SAMPLE_CONVERSATIONS, events, main

SCRIPT = Path(__file__).parents[2] / "client" / "client.py"


class Server:
    """Speaks enough OpenAI to be talked to; replies with the last message in capitals, cut as `pieces` says."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.models = [{"id": "tiny"}, {"id": "other"}]
        self.refusal: web.Response | None = None
        self.ending = b"data: [DONE]\n\n"
        self.hang = False
        self.url = ""
        self.authorizations: list[str | None] = []

    async def list_models(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        return self.refusal or web.json_response({"object": "list", "data": self.models})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("Authorization"))
        self.requests.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = self.requests[-1]["messages"][-1]["content"].upper()
        deltas: list[dict[str, str]] = [
            {"role": "assistant", "content": ""},
            *({"content": letter} for letter in text),
            {},
        ]
        for delta in deltas:
            await response.write(b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n")
        if self.hang:
            await asyncio.Event().wait()
        await response.write(self.ending)
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/v1/models", server.list_models)
    app.router.add_post("/v1/chat/completions", server.chat)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


async def run(server: Server, *arguments: str) -> int:
    return await asyncio.to_thread(main, [f"--url={server.url}", *arguments])


async def test_a_prompt_is_sent_to_the_first_model_and_the_reply_printed(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(server, "Spell river") == 0
    assert capsys.readouterr() == ("SPELL RIVER\n", "")
    assert server.requests == [
        {"model": "tiny", "messages": [{"role": "user", "content": "Spell river"}], "stream": True}
    ]


async def test_options_that_are_given_go_into_the_request(server: Server) -> None:
    options = ["--model=other", "--system=Be brief", "--max-tokens=9", "--temperature=0.5", "--seed=0", "--steps=4"]
    assert await run(server, *options, "--threshold=0.8", "--block-length=16", "Hello") == 0
    (request,) = server.requests
    assert request.pop("messages")[0] == {"role": "system", "content": "Be brief"}
    assert request == {
        "model": "other",
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 0,
        "steps": 4,
        "threshold": 0.8,
        "block_length": 16,
    }


@pytest.mark.parametrize(("key", "sent"), [("sk-1\n", "Bearer sk-1"), ("", None)])
async def test_a_key_from_the_environment_goes_with_every_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str, sent: str | None
) -> None:
    monkeypatch.setenv("TDI_API_KEY", key)
    assert await run(server, "hi") == 0
    assert server.authorizations == [sent, sent]


@pytest.mark.parametrize("key", ["sk\n1", "sk-é"])
async def test_a_key_that_no_header_could_carry_is_not_sent_and_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    monkeypatch.setenv("TDI_API_KEY", key)
    assert await run(server, "hi") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: TDI_API_KEY ")
    assert "sk" not in said
    assert not server.authorizations


async def test_without_a_prompt_the_sample_is_played_with_all_that_was_said_before(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(server) == 0
    shown = capsys.readouterr().out
    assert len(server.requests) == sum(len(turns) for _, turns in SAMPLE_CONVERSATIONS)
    for system, turns in SAMPLE_CONVERSATIONS:
        assert system is None or f"system: {system}\n" in shown
        for turn in turns:
            assert f"user: {turn}\nassistant: {turn.upper()}\n" in shown
    last = server.requests[-1]["messages"]
    before, now = SAMPLE_CONVERSATIONS[-1][1][-2:]
    assert [message["content"] for message in last[-3:]] == [before, before.upper(), now]


async def test_a_refusal_is_shown_in_the_words_of_the_server(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": None}
    server.refusal = web.json_response({"error": error}, status=404)
    assert await run(server, "Hello") == 1
    assert capsys.readouterr().err == f"error: no such model (HTTP 404 from {server.url}/models)\n"


@pytest.mark.parametrize("body", ["<html>", "", "[]", '{"detail": "Not Found"}'])
async def test_an_answer_of_something_else_is_said_to_be_one(
    server: Server, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refusal = web.Response(text=body, status=502)
    assert await run(server, "Hello") == 1
    assert "no answer of an OpenAI-compatible server (HTTP 502" in capsys.readouterr().err


async def test_a_server_without_models_is_said_to_have_none(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.models = []
    assert await run(server, "Hello") == 1
    assert capsys.readouterr().err == "error: the server has no model\n"


async def test_an_error_within_the_stream_is_shown_after_what_came_before(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.ending = b'data: {"error": {"message": "the worker died"}}\n\ndata: [DONE]\n\n'
    assert await run(server, "Hello") == 1
    assert capsys.readouterr() == ("HELLO\n", "error: the worker died\n")


async def test_a_stream_that_just_ends_is_no_reply(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.ending = b""
    assert await run(server, "Hello") == 1
    assert capsys.readouterr().err == "error: the server ended the reply early\n"


def test_no_server_is_one_clear_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    assert main([f"--url={url}", "Hello"]) == 2
    assert capsys.readouterr() == ("", f"error: no server answers at {url}; `just run-launcher` starts one\n")


def test_a_url_that_is_none_is_said_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url=localhost", "Hello"]) == 2
    assert capsys.readouterr().err.startswith("error: localhost is no URL")


def script(*arguments: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "TDI_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_ctrl_c_ends_the_script_quietly(server: Server) -> None:
    server.hang = True
    with script("Hi", url=server.url) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.read, 2) == "HI"
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.communicate) == ("\n", "")
    assert process.returncode == 130


async def test_a_reader_that_has_enough_is_no_error(server: Server) -> None:
    with script("Hi" * 1000, url=server.url) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert await asyncio.to_thread(process.stderr.read) == ""
    assert process.returncode == 0


async def pieces(*received: bytes) -> AsyncIterator[bytes]:
    for piece in received:
        yield piece


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ([b"data: a\n\ndata: b\n\n"], ["a", "b"]),
        ([b"da", b"ta: a\n", b"\n"], ["a"]),
        ([b"data: a\r\n\r\ndata:b\r\n\r\n"], ["a", "b"]),
        ([b"event: x\n: comment\ndata: a\n\n"], ["a"]),
        (["data: ö\n\n".encode()[:7], "data: ö\n\n".encode()[7:]], ["ö"]),
        ([b"data: " + b"x" * 300_000 + b"\n\n"], ["x" * 300_000]),
    ],
)
async def test_events_are_found_wherever_the_bytes_are_cut(received: Sequence[bytes], expected: list[str]) -> None:
    assert [event async for event in events(pieces(*received))] == expected
