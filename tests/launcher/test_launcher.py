import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from textdiffusion.signals import ECHO_SECONDS

Launch = Callable[..., Any]
Gone = Callable[[int], bool]


def order(text: str, *words: str) -> bool:
    places = [text.index(word) for word in words]
    return places == sorted(places)


async def test_one_worker_per_device_then_the_router_then_one_line_that_says_where(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--devices=cpu,cuda:1").until("Ready:")
    url = re.fullmatch(r'Ready: (http://127.0.0.1:\d+)/v1 \(model tiny\)\. Try: .* "Spell river"', stack.lines[-1])
    assert url
    async with aiohttp.ClientSession() as session, session.get(f"{url[1]}/health") as response:
        addresses = [worker["address"] for worker in (await response.json())["workers"]]
    for device, address in zip(("cpu", "cuda:1"), addresses, strict=True):
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


def test_a_worker_that_uses_up_the_grace_period_is_killed(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny", "--grace-seconds=0.1", FAKE_WORKER="ignores-sigterm").until("Ready:")
    stack.send(signal.SIGTERM)
    assert stack.exit_code() == 0
    assert "worker-0 did not stop within 5.1 s and was killed" in stack.text
    assert gone(stack.children["worker-0"])


def test_kill_9_of_the_launcher_ends_its_children(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny").until("Ready:")
    stack.send(signal.SIGKILL)
    assert len(stack.children) == 2
    assert all(gone(pid) for pid in stack.children.values())


def test_a_worker_that_refuses_to_start_is_explained_with_its_last_lines(launch: Launch) -> None:
    stack = launch("--model=./tiny", FAKE_WORKER="refuses")
    assert stack.exit_code() == 2
    assert "launcher | worker-0 failed to start: it ended with exit code 1; its last lines:" in stack.text
    assert "launcher |     error: model.safetensors is truncated" in stack.text
    assert "Traceback" not in stack.text
    assert "starting router" not in stack.text


def test_a_worker_killed_while_loading_is_explained_by_its_signal(launch: Launch) -> None:
    stack = launch("--model=./tiny", FAKE_WORKER="is-killed")
    assert stack.exit_code() == 2
    assert "signal 9 (SIGKILL)" in stack.text
    assert "out of memory" in stack.text


def test_a_worker_that_never_serves_ends_the_start_in_time(launch: Launch) -> None:
    stack = launch("--model=./tiny", "--start-timeout-seconds=1.5", FAKE_WORKER="never-serves")
    assert stack.exit_code() == 2
    assert "worker-0 is not ready, and has said nothing for 1.5 s; its last lines:" in stack.text
    assert "Traceback" not in stack.text


def test_a_worker_that_the_router_refuses_ends_the_start_with_the_reason(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny", FAKE_ROUTER="refused")
    assert stack.exit_code() == 2
    assert "launcher | the router refuses worker-0: its tokenizer is another one" in stack.text
    assert "Ready:" not in stack.text
    assert all(gone(pid) for pid in stack.children.values())


def test_a_process_that_dies_while_serving_stops_the_rest(launch: Launch, gone: Gone) -> None:
    stack = launch("--model=./tiny").until("Ready:")
    os.kill(stack.children["worker-0"], signal.SIGKILL)
    assert stack.exit_code() == 3
    assert "worker-0 died: it was ended by signal 9" in stack.text
    assert "router | drained" in stack.text
    assert gone(stack.children["router"])


def test_a_port_in_use_is_one_message_before_anything_starts(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = launch("--model=./tiny", f"--port={port}")
        assert stack.exit_code() == 1
    assert len(stack.lines) == 1
    assert stack.lines[0].startswith(f"error: router.port: {port} is in use")


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
