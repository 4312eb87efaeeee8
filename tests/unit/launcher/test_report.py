import json
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from launcher import report, runtime
from textdiffusion.status import LauncherStatus, ProcessStatus


def process(**facts: Any) -> ProcessStatus:
    known: ProcessStatus = {
        "name": "worker-0",
        "role": "worker",
        "model": "tiny",
        "device": "cuda:1",
        "address": "unix:/run/worker-0.sock",
        "pid": 4711,
        "state": "ready",
        "reason": None,
        "restarts": 0,
        "uptime_seconds": 5025.0,
        "memory_bytes": 3 * 2**20,
        "running_requests": 2,
        "waiting_requests": 0,
    }
    return {**known, **facts}  # type: ignore[typeddict-item]


def status(*processes: ProcessStatus, **facts: Any) -> LauncherStatus:
    known: LauncherStatus = {
        "state": "serving",
        "pid": 42,
        "version": "1.2.3",
        "uptime_seconds": 61.5,
        "reload": None,
        "processes": list(processes),
    }
    return {**known, **facts}  # type: ignore[typeddict-item]


def test_the_table_has_a_line_for_each_process() -> None:
    router = process(name="router", role="router", model=None, device=None, address="http://127.0.0.1:3001")
    assert report.table(status(router, process(restarts=12))).splitlines() == [
        "launcher 1.2.3, pid 42, up for 1m01s, serving",
        "NAME     STATE PID  UP    RESTARTS RUNNING WAITING MEMORY SERVES",
        "router   ready 4711 1h23m 0        2       0       3 MiB  http://127.0.0.1:3001",
        "worker-0 ready 4711 1h23m 12       2       0       3 MiB  tiny on cuda:1",
    ]


def test_what_is_not_known_is_a_dash_and_how_a_process_ended_is_told_in_words() -> None:
    gone = process(
        state="waiting",
        pid=None,
        reason="was ended by signal 9",
        uptime_seconds=None,
        memory_bytes=None,
        running_requests=None,
        waiting_requests=None,
    )
    table = report.table(status(gone)).splitlines()
    assert table[2].split()[:8] == ["worker-0", "waiting", "-", "-", "0", "-", "-", "-"]
    assert table[3] == "last end of worker-0: it was ended by signal 9"


def test_a_configuration_that_was_refused_is_told_with_its_mistakes() -> None:
    refused = {"at": "2030-01-01T00:00:00+00:00", "outcome": "rejected", "problems": ["router.port: is in use"]}
    table = report.table(status(process(), reload=refused))
    assert table.endswith(
        "last change of the configuration, 2030-01-01T00:00:00+00:00: rejected\n    router.port: is in use"
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(runtime, "LONGEST_PARENT", 1000)
    place = tmp_path / f"tdi-{os.getuid()}"
    place.mkdir(mode=0o700)
    return place


def test_where_no_launcher_runs_the_exit_code_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "killed").mkdir()
    (place / "killed" / "launcher.sock").touch()
    assert report.report([]) == 3
    assert capsys.readouterr().out == "no launcher runs\n"


async def answers(socket: Path, status: LauncherStatus) -> web.AppRunner:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(status)

    socket.parent.mkdir()
    app = web.Application()
    app.add_routes([web.get("/status", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    return runner


async def test_every_launcher_of_this_user_is_asked(place: Path) -> None:
    sockets = [place / name / "launcher.sock" for name in ("one", "two")]
    runners = [await answers(socket, status(pid=pid)) for pid, socket in enumerate(sockets)]
    found = await report.ask_all(sockets)
    assert [one["pid"] for one in found] == [0, 1]
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("waiting", 1), ("failed", 1)])
def test_the_exit_code_says_whether_all_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    told = [status(process(state=state))]

    async def ask_all(_: object) -> list[LauncherStatus]:
        return told

    monkeypatch.setattr(report, "ask_all", ask_all)
    assert report.report(["--json"]) == code
    assert json.loads(capsys.readouterr().out) == told
