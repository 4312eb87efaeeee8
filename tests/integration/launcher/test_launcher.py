import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.integration.launcher.conftest import DEADLINE_SECONDS, FAKES, ROOT, config, order
from textdiffusion.signals import ECHO_SECONDS

Launch = Callable[..., Any]
Gone = Callable[[int], bool]


async def test_one_worker_per_device_then_the_router_then_one_line_that_says_where(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--devices=cpu,cuda:1", CUDA_VISIBLE_DEVICES="0,1").until("Ready:")
    said = r'Ready: (http://127.0.0.1:\d+)/v1 \(model tiny\)\. Try: \1/ in a browser, or uv run .* "Spell river"'
    url = re.fullmatch(said, stack.lines[-1])
    assert url
    async with aiohttp.ClientSession() as session, session.get(f"{url[1]}/health") as response:
        addresses = [worker["address"] for worker in (await response.json())["workers"]]
    for device, address in zip(("cpu", "cuda:0"), addresses, strict=True):  # each sees its own GPU alone
        assert f"serves tiny on {device} at {address}" in stack.text
    assert order(stack.text, "worker-0 is ready", "starting router", "router is ready", "Ready:")
    assert order(stack.text, "worker-1 is ready", "starting router")


def test_sigterm_stops_the_router_before_the_workers_and_leaves_nothing(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny").until("Ready:")
    runtime = Path(re.findall(r"at unix:(\S+)", stack.text)[0]).parent
    assert runtime.stat().st_mode & 0o777 == 0o700
    stack.send(signal.SIGTERM)
    assert stack.exit_code() == 0
    assert order(stack.text, "stopping router", "router | drained", "stopping worker-0", "worker-0 | drained")
    assert all(gone(pid) for pid in stack.children.values())
    assert not runtime.exists()


def test_a_signal_while_a_worker_loads_stops_it_and_is_no_failure(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny", FAKE_WORKER="never-serves").until("worker-0 | pid")
    stack.send(signal.SIGINT)
    assert stack.exit_code() == 0
    assert gone(stack.children["worker-0"])


def test_a_second_signal_ends_what_does_not_want_to_stop(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny", FAKE_WORKER="ignores-sigterm").until("Ready:")
    stack.send(signal.SIGTERM)
    stack.until("stopping worker-0")
    assert stack.runs_on_for(ECHO_SECONDS)
    stack.send(signal.SIGTERM)
    assert stack.exit_code() == 0
    assert "second signal" in stack.text
    assert gone(stack.children["worker-0"])


def test_kill_9_of_the_launcher_ends_its_children(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny").until("Ready:")
    stack.send(signal.SIGKILL)
    assert len(stack.children) == 2
    assert all(gone(pid) for pid in stack.children.values())


def test_kill_9_of_the_launcher_ends_children_that_are_stopped(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny").until("Ready:")
    for pid in stack.children.values():
        os.kill(pid, signal.SIGSTOP)
    stack.send(signal.SIGKILL)
    assert [gone(pid) for pid in stack.children.values()] == [True, True]


@pytest.mark.parametrize(("behaviour", "says"), [("imports", "imports"), ("is-busy", "is busy in native code")])
def test_kill_9_of_the_launcher_ends_a_child_that_notices_nothing(
    launch: Launch, gone: Gone, behaviour: str, says: str
) -> None:
    stack = launch("--model=./tiny", FAKE_WORKER=behaviour).until(says)
    stack.send(signal.SIGKILL)
    assert gone(stack.children["worker-0"])


def test_an_id_reaches_the_worker_as_it_was_given(launch: Launch) -> None:
    launch("--model=./tiny", "--id=ft:base,org::m@v1").until("serves ft:base,org::m@v1 on cpu").until("Ready:")


def test_a_worker_that_refuses_to_start_is_explained_with_its_last_lines(launch: Launch) -> None:
    stack = launch("--model=./tiny", FAKE_WORKER="refuses")
    assert stack.exit_code() == 2
    assert "launcher | worker-0 failed to start: it ended with exit code 1; its last lines:" in stack.text
    assert "launcher |     error: model.safetensors is truncated" in stack.text
    assert "Traceback" not in stack.text
    assert "starting router" not in stack.text


def test_a_worker_that_dies_while_serving_is_started_again_and_the_rest_runs_on(launch: Launch) -> None:
    name = "worker-0"
    stack = launch("--model=./tiny", "--devices=cpu,cpu").until("Ready:")
    before = stack.children
    os.kill(before[name], signal.SIGKILL)
    stack.until(f"{name} is ready again")
    assert f"launcher | {name} died: it was ended by signal 9" in stack.text
    after = stack.children
    assert [each for each in before if before[each] != after[each]] == [name]
    stack.send(signal.SIGTERM)
    assert stack.exit_code() == 0


OTHER_DEFAULTS = "[models.generation]\nsteps = 4\n"
OTHER_ROUTER = "[router]\nmax_waiting_requests = 1\n"


@pytest.fixture
def configured(launch: Launch, tmp_path: Path) -> Any:
    return launch_configured(launch, tmp_path)


def launch_configured(launch: Launch, folder: Path, *flags: str, text: str = "") -> Any:
    """A launcher that reads its configuration when it is told to, and not a second or two later."""
    config(folder, text)
    return launch("--watch=false", *flags).until("Ready:")


def reconfigure(stack: Any, folder: Path, text: str = "") -> None:
    config(folder, text)
    stack.send(signal.SIGHUP)


def test_other_settings_of_the_router_take_another_router_on_the_same_port(configured: Any, tmp_path: Path) -> None:
    before, port = configured.children, re.findall(r"Ready: \S+:(\d+)/", configured.text)
    reconfigure(configured, tmp_path, OTHER_ROUTER)
    configured.until("router-1 is ready").until("router | drained")
    assert {name: pid for name, pid in configured.children.items() if name in before} == before
    assert re.findall(r"Ready: \S+:(\d+)/", configured.text) == port


def test_generation_defaults_are_told_to_the_worker_that_runs(configured: Any, tmp_path: Path) -> None:
    before = configured.children
    reconfigure(configured, tmp_path, "[models.generation]\nsteps = 4\n")
    configured.until("the new configuration is applied")
    assert "worker-0 | told {'generation': {'steps': 4}, 'log_level': 'info'}" in configured.text
    assert configured.children["worker-0"] == before["worker-0"]
    assert "router-1 is ready" in configured.text  # which knows of them


def test_a_chat_template_that_changes_is_used_by_another_router(launch: Launch, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}")
    stack = launch("--model=./tiny", "--devices=cpu", "--chat-template=mine.jinja").until("Ready:")
    file.write_text("{% if %}")
    stack.until("nothing has changed:").until("mine.jinja: is not a chat template: line 1:")
    file.write_text("{{ messages[0] }}")
    stack.until("router-1 is ready").until("the new configuration is applied")


def test_status_tells_of_every_process(configured: Any) -> None:
    told = json.loads(
        subprocess.run(
            [sys.executable, "-m", "launcher", "status", "--json"], check=False, cwd=ROOT, stdout=subprocess.PIPE
        ).stdout
    )
    # Other launchers of this user may run at the same time, and call their processes the same.
    pids = [{process["name"]: process["pid"] for process in status["processes"]} for status in told]
    assert any(configured.children.items() <= of_one.items() for of_one in pids)


@pytest.mark.usefixtures("launch")
def test_a_full_disk_for_the_log_stops_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "launcher", "--port=0", "--model=./tiny", "--id=unheard"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{FAKES}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=full,
        )
    children: list[psutil.Process] = []
    give_up = time.monotonic() + DEADLINE_SECONDS
    while len(children) < 2:
        children = psutil.Process(launcher.pid).children()
        assert time.monotonic() < give_up
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(DEADLINE_SECONDS) == 0
    assert not [child for child in children if child.is_running()]


def test_a_port_in_use_is_one_message_before_anything_starts(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = launch("--model=./tiny", f"--port={port}")
        assert stack.exit_code() == 1
    assert len(stack.lines) == 1
    assert stack.lines[0].startswith(f"error: router.port: {port} is in use")


def test_it_is_json_where_the_file_asks_for_that(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[logging]\nlog_format = "json"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stack = launch("--model=./tiny", f"--port={taken.getsockname()[1]}")
        assert stack.exit_code() == 1
    (line,) = stack.lines
    assert "is in use" in json.loads(line)["event"]


def test_every_mistake_in_the_configuration_has_a_line_of_its_own(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[router]\nprot = 1\n[[models]]\npath = "nowhere"\ndtype = "float8"\n')
    stack = launch("--max-body-bytes=many", "--workers=host:1", TDI_ROUTR__PORT="1")
    assert stack.exit_code() == 1
    assert len(stack.lines) == 6
    assert all(line.startswith("error: ") for line in stack.lines)


def test_keys_reach_the_router_alone_and_never_in_clear(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[[models]]\npath = "tiny"\n')
    stack = launch(TDI_ROUTER__API_KEYS='{"alice": "sk-alice"}').until("Ready:")
    seen = {
        name: [Path(f"/proc/{pid}/{what}").read_text().split("\0") for what in ("cmdline", "environ")]
        for name, pid in stack.children.items()
    }
    assert set(seen) == {"worker-0", "router"}
    (secret,) = [entry for entry in seen["router"][1] if "alice" in entry]
    assert secret.startswith('TDI_ROUTER__API_KEYS={"alice": "sha256:')
    seen["router"][1].remove(secret)
    assert "alice" not in f"{seen} {stack.text}"


def test_other_machines_are_not_served_without_keys_and_nothing_starts(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--host=0.0.0.0")
    assert stack.exit_code() == 1
    assert len(stack.lines) == 1
    assert stack.lines[0].startswith("error: router: other machines reach 0.0.0.0")


def test_to_check_is_to_ask_a_worker_of_each_model_and_device_and_to_start_nothing_else(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--devices=cpu,cuda:1,cpu", "--check", CUDA_VISIBLE_DEVICES="0,1")
    assert stack.exit_code() == 0
    assert stack.lines[0] == "the settings: can be used"
    found = [line.partition(": fits: ") for line in stack.lines[1:]]
    assert [place for place, _, _ in found] == ["tiny on cpu", "tiny on cuda:1", "tiny on cpu"]
    assert ["--memory-gb=" in arguments for _, _, arguments in found] == [True, False, True]
    assert "starting" not in stack.text


def test_to_check_takes_nothing_that_a_running_stack_has(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stack = launch("--model=./tiny", "--check", f"--port={taken.getsockname()[1]}")
        assert stack.exit_code() == 0


def test_to_check_what_does_not_fit_says_why_and_exits_with_1(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--check", FAKE_WORKER="refuses")
    assert stack.exit_code() == 1
    assert stack.lines[-1] == "tiny on cpu: error: model.safetensors is truncated"


def test_a_worker_that_dies_while_it_checks_is_explained(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--check", FAKE_WORKER="is-killed")
    assert stack.exit_code() == 1
    assert "tiny on cpu: the worker was ended by signal 9" in stack.lines[-1]


def test_a_flag_that_other_servers_ask_for_is_accepted_and_handed_on(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--trust-remote-code", "--check")
    assert stack.exit_code() == 0
    assert "--trust-remote-code=True" in stack.text
