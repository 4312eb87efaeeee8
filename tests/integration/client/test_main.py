import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from aiohttp import web

from client.interrupts import Interrupts
from client.main import UNWATCHABLE, main
from client.modes import NO_MESSAGE
from client.samples import SAMPLE_CONVERSATIONS
from testing.folders import ROOT
from tests.integration.client.conftest import Run
from tests.integration.client.served import Served

Output = pytest.CaptureFixture[str]

ERASE_ALL = "\x1b[2J"


def test_what_draws_is_not_imported_where_nothing_is_drawn() -> None:
    program = "import sys, client.main; assert 'rich' not in sys.modules; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


async def test_a_message_is_sent_to_the_first_model_and_the_answer_printed(
    server: Served, run: Run, capsys: Output
) -> None:
    assert await run("Spell river") == 0
    assert capsys.readouterr() == ("SPELL RIVER\n", "")
    assert server.requests == [
        {"model": "tiny", "messages": [{"role": "user", "content": "Spell river"}], "stream": True}
    ]


async def test_options_that_are_given_go_into_the_request(server: Served, run: Run) -> None:
    options = ["--model=other", "--system=Be brief", "--max-tokens=9", "--temperature=0.5", "--seed=-1", "--steps=4"]
    more = ["--kv-cache=none", "--ignore-eos", "--stop=a", "--stop=b"]
    assert await run(*options, *more, "Hello") == 0
    (request,) = server.requests
    assert request.pop("messages")[0] == {"role": "system", "content": "Be brief"}
    assert request == {
        "model": "other",
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": -1,
        "steps": 4,
        "kv_cache": "none",
        "ignore_eos": True,
        "stop": ["a", "b"],
    }


@pytest.mark.parametrize("arguments", [[], ["-"]])
async def test_what_is_piped_in_is_the_message(server: Served, run: Run, capsys: Output, arguments: list[str]) -> None:
    assert await run(*arguments, piped="Spell\nriver\n") == 0
    assert capsys.readouterr().out == "SPELL\nRIVER\n"
    assert server.requests[0]["messages"] == [{"role": "user", "content": "Spell\nriver"}]


@pytest.mark.parametrize(("arguments", "piped"), [(["a"], "no"), ([], "a\n")])
async def test_with_a_suffix_what_stands_before_it_is_filled_in(
    server: Served, run: Run, capsys: Output, arguments: list[str], piped: str
) -> None:
    assert await run(*arguments, "--suffix=c", piped=piped) == 0
    assert capsys.readouterr().out == "A\n"
    assert server.requests == [{"model": "tiny", "prompt": "a", "suffix": "c", "stream": True}]


@pytest.mark.parametrize(("arguments", "told"), [(["--sample"], ""), ([], f"{NO_MESSAGE}\n")])
async def test_the_samples_are_played_with_all_that_was_said_before(
    server: Served, run: Run, capsys: Output, arguments: list[str], told: str
) -> None:
    assert await run(*arguments) == 0
    shown, noted = capsys.readouterr()
    assert noted == told
    assert len(server.requests) == sum(len(turns) for _, turns in SAMPLE_CONVERSATIONS)
    for system, turns in SAMPLE_CONVERSATIONS:
        assert system is None or f"system: {system}\n" in shown
        for turn in turns:
            assert f"user: {turn}\nassistant: {turn.upper()}\n" in shown
    last = server.requests[-1]["messages"]
    before, now = SAMPLE_CONVERSATIONS[-1][1][-2:]
    assert [message["content"] for message in last[-3:]] == [before, before.upper(), now]


@pytest.mark.parametrize(("arguments", "field"), [([], "message"), (["--suffix=."], "text")])
async def test_json_is_the_whole_reply_on_one_line(
    server: Served, run: Run, capsys: Output, arguments: list[str], field: str
) -> None:
    assert await run("--json", *arguments, "a\nö") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert field in json.loads(line)["choices"][0]
    assert "Ö" in line
    assert "stream" not in server.requests[0]


@pytest.mark.parametrize(("watch", "told"), [([], ""), (["--watch"], f"{UNWATCHABLE}\n")])
async def test_where_there_is_no_terminal_the_text_is_printed_as_it_came(
    server: Served, run: Run, capsys: Output, watch: list[str], told: str
) -> None:
    server.replies = [f"{ERASE_ALL}red\r\n"]
    assert await run(*watch, "Hello") == 0
    assert capsys.readouterr() == (f"{ERASE_ALL}red\r\n\n", told)
    assert "diffusing" not in server.requests[0]


async def test_a_reply_is_read_to_the_end_of_its_stream(server: Served, run: Run) -> None:
    server.pause_seconds = 0.2  # enough for a client that leaves to be noticed
    assert await run("Hello") == 0
    assert not server.left.is_set()


@pytest.mark.parametrize(("key", "sent"), [("sk-1\n", "Bearer sk-1"), ("", None)])
async def test_a_key_from_the_environment_goes_with_every_request(
    server: Served, run: Run, monkeypatch: pytest.MonkeyPatch, key: str, sent: str | None
) -> None:
    monkeypatch.setenv("TDI_API_KEY", key)
    assert await run("hi") == 0
    assert server.authorizations == [sent, sent]


async def test_a_key_that_is_a_flag_wins(server: Served, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_API_KEY", "sk-1")
    assert await run("--api-key=sk-2", "--model=tiny", "hi") == 0
    assert server.authorizations == ["Bearer sk-2"]


async def test_a_url_without_a_path_is_that_of_the_server(server: Served, run: Run, capsys: Output) -> None:
    assert await run(f"--url={server.url.removesuffix('/v1')}/", "hi") == 0
    assert capsys.readouterr().out == "HI\n"


async def test_a_refusal_is_shown_in_the_words_of_the_server_but_for_controls(
    server: Served, run: Run, capsys: Output
) -> None:
    error = {"message": f"no [b]such[/b]{ERASE_ALL} model", "type": "invalid_request_error", "param": "model"}
    server.refusal = web.json_response({"error": error}, status=404)
    assert await run("Hello") == 1
    assert capsys.readouterr().err == f"error: no [b]such[/b][2J model (HTTP 404 from {server.url}/models)\n"


@pytest.mark.parametrize(
    "body", ["<html>", "", "[]", '{"detail": "Not Found"}', pytest.param("[" * 100_000, id="nested")]
)
async def test_an_answer_of_something_else_is_said_to_be_one(
    server: Served, run: Run, body: str, capsys: Output
) -> None:
    server.refusal = web.Response(text=body, status=502)
    assert await run("Hello") == 1
    assert "no answer of an OpenAI-compatible server (HTTP 502" in capsys.readouterr().err


async def test_a_server_without_models_is_said_to_have_none(server: Served, run: Run, capsys: Output) -> None:
    server.models = []
    assert await run("Hello") == 1
    assert capsys.readouterr().err == "error: the server has no model\n"


async def test_an_error_within_the_stream_is_shown_after_what_came_before(
    server: Served, run: Run, capsys: Output
) -> None:
    server.ending = b'data: {"error": {"message": "the worker died"}}\n\ndata: [DONE]\n\n'
    assert await run("Hello") == 1
    assert capsys.readouterr() == ("HELLO\n", "error: the worker died\n")


@pytest.mark.parametrize("ending", [b"", b": ping\n"])
async def test_a_stream_that_just_ends_is_no_reply(server: Served, run: Run, capsys: Output, ending: bytes) -> None:
    server.ending = ending
    assert await run("Hello") == 1
    assert capsys.readouterr() == ("HELLO\n", "error: the server ended the reply early\n")


def test_no_server_is_one_clear_sentence(capsys: Output) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    assert main([f"--url={url}", "Hello"], Interrupts()) == 3
    assert capsys.readouterr() == ("", f"error: no server answers at {url}; `just run-launcher` starts one\n")


def test_what_is_piped_in_but_no_text_is_said_to_be_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("piped") / "bytes"
    file.write_bytes(b"\xff\xfe")
    with file.open("rb") as piped:
        ended = subprocess.run(
            [sys.executable, "-m", "client"],
            cwd=ROOT,
            stdin=piped,
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
    assert (ended.returncode, ended.stderr) == (2, b"error: standard input is no text in utf-8\n")


def script(*arguments: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, ROOT / "client" / "client.py", *arguments],
        env={**os.environ, "TDI_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("arguments", [[], ["--json"]])
async def test_ctrl_c_ends_the_script_quietly_and_the_request_with_it(server: Served, arguments: list[str]) -> None:
    server.hang = True
    with script("Hi", *arguments, url=server.url) as process:
        await server.asked.wait()
        process.send_signal(signal.SIGINT)
        _, complaints = await asyncio.to_thread(process.communicate)
    assert (process.returncode, complaints) == (130, "")
    await asyncio.wait_for(server.left.wait(), 60)


async def test_a_reader_that_has_enough_is_no_error(server: Served) -> None:
    with script("Hi" * 1000, url=server.url) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert await asyncio.to_thread(process.stderr.read) == ""
    assert process.returncode == 0


async def redirected(redirection: str, *arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env={**os.environ, "TDI_URL": url, "PYTHONUNBUFFERED": ""},  # so that something is left to flush in the end
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("redirection", "why"), [("> /dev/full", "No space left on device"), (">&-", "standard output is closed")]
)
@pytest.mark.parametrize("arguments", [["Hi"], ["Hi", "--json"]])
async def test_an_answer_that_cannot_be_written_is_an_error(
    server: Served, redirection: str, why: str, arguments: list[str]
) -> None:
    ended = await redirected(redirection, *arguments, url=server.url)
    assert (ended.returncode, ended.stderr) == (1, f"error: cannot write the answer: {why}\n")


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-"])
async def test_an_error_that_cannot_be_told_is_still_an_exit_code(redirection: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    ended = await redirected(redirection, "Hi", url=url)
    assert (ended.returncode, ended.stdout) == (3, "")
