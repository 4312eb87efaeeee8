"""What becomes of the processes when the configuration changes."""

import asyncio
import re
import socket
from pathlib import Path

import pytest

from tests.integration.launcher.conftest import config, order
from tests.integration.launcher.stage import Stage

MORE = '[[models]]\nid = "more"\npath = "tiny"\ndevices = ["cpu"]\n'
GPUS = '[[models]]\npath = "tiny"\ndevices = ["cuda:0", "cuda:1"]\n'
ANOTHER_ENGINE = "max_queued_requests = 1\n"
OTHER_DEFAULTS = "[models.generation]\nsteps = 4\n"
ELSEWHERE = '[[models]]\nid = "far"\naddresses = ["unix:/run/somewhere.sock"]\n'
OTHER_ROUTER = "[router]\nmax_waiting_requests = 1\n"
APPLIED = "the new configuration is applied"


@pytest.fixture(autouse=True)
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


async def begun(stage: Stage, folder: Path, *flags: str, text: str = "") -> None:
    """Has it read its configuration when it is told to, and not a second or two later."""
    config(folder, text)
    stage.launch("--watch=false", *flags)
    await stage.until("Ready:")


async def begun_on_gpus(stage: Stage, folder: Path, *flags: str) -> None:
    (folder / "config.toml").write_text(GPUS)
    stage.launch("--watch=false", *flags)
    await stage.until("Ready:")


def reconfigure(stage: Stage, folder: Path, text: str = "") -> None:
    config(folder, text)
    stage.hang_up()


async def test_where_a_worker_cannot_be_replaced_no_other_is_told_what_the_router_would_not_know(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, text=MORE)
    stage.worker = "refuses"
    reconfigure(stage, tmp_path, f"{OTHER_DEFAULTS}{MORE}{ANOTHER_ENGINE}")
    await stage.until("could not be applied: worker-2 failed to start")
    stage.worker = ""
    stage.hang_up()
    await stage.until(APPLIED)
    assert order(stage.text, "could not be applied", "worker-3 is ready", "worker-0 | told", "router-2 is ready")


async def test_workers_get_their_defaults_back_where_the_router_that_would_know_the_new_ones_does_not_start(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path)
    stage.router = "refuses"
    reconfigure(stage, tmp_path, OTHER_DEFAULTS)
    await stage.until("could not be applied: router-1 failed to start: it ended with exit code 1")
    assert re.findall(r"worker-0 \| told (.*)", stage.text) == [
        '{"generation": {"steps": 4}, "log_level": "info"}',
        '{"generation": {}, "log_level": "info"}',
    ]
    stage.terminate()
    assert await stage.exit_code() == 0


async def test_another_engine_takes_another_worker_which_serves_before_the_old_one_goes(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path)
    reconfigure(stage, tmp_path, ANOTHER_ENGINE)
    await stage.until(APPLIED)
    assert order(stage.text, "worker-1 is ready", "router-1 is ready", "stopping worker-0", "worker-0 | drained")


async def test_a_new_worker_that_does_not_start_leaves_everything_as_it_was(stage: Stage, tmp_path: Path) -> None:
    await begun(stage, tmp_path)
    stage.worker = "refuses"
    reconfigure(stage, tmp_path, ANOTHER_ENGINE)
    await stage.until("could not be applied: worker-1 failed to start: it ended with exit code 1")
    assert "router-1" not in stage.text
    assert stage.running == ["worker-0", "router"]
    stage.worker = ""
    stage.hang_up()
    await stage.until(APPLIED)
    assert order(stage.text, "worker-2 is ready", "stopping worker-0")


async def test_a_worker_stays_whose_successor_dies_before_a_router_uses_it(stage: Stage, tmp_path: Path) -> None:
    await begun(stage, tmp_path, "--crash-budget=1")
    stage.router = "connecting"
    reconfigure(stage, tmp_path, ANOTHER_ENGINE)
    await stage.until("router-1 is ready")
    stage.worker = "refuses"
    stage.kill("worker-1")
    await stage.until("worker-1 died more than 1 times", "could not be applied: router-1 does not use worker-1")
    assert "stopping worker-0" not in stage.text
    stage.worker = stage.router = ""
    stage.hang_up()
    await stage.until("worker-2 is ready", "stopping worker-0", APPLIED)


async def test_what_is_left_to_serve_is_judged_by_the_router_in_charge_and_not_by_a_change_that_failed(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, "--crash-budget=0", text=ELSEWHERE)
    stage.worker = "refuses"
    reconfigure(stage, tmp_path, ANOTHER_ENGINE)
    await stage.until("could not be applied: worker-1 failed to start")
    stage.kill("worker-0")
    await stage.until("worker-0 died more than 0 times")
    await stage.settled()
    assert not stage.ended
    reconfigure(stage, tmp_path, ELSEWHERE)
    await stage.until(APPLIED)


async def test_a_model_can_come_and_go(stage: Stage, tmp_path: Path) -> None:
    await begun(stage, tmp_path)
    reconfigure(stage, tmp_path, MORE)
    await stage.until(APPLIED)
    assert order(stage.text, "worker-1 is ready", "router-1 is ready")
    reconfigure(stage, tmp_path)
    await stage.until("stopping worker-1", APPLIED)
    stage.terminate()
    assert await stage.exit_code() == 0


async def test_a_configuration_with_mistakes_changes_nothing_and_each_has_a_line(stage: Stage, tmp_path: Path) -> None:
    await begun(stage, tmp_path)
    reconfigure(stage, tmp_path, 'dtype = "float8"\n[router]\nprot = 1\n')
    await stage.until("the new configuration cannot be used, and nothing has changed", "models.0.dtype")
    assert "config.toml: router.prot: no such setting" in stage.text
    assert "router-1" not in stage.text
    reconfigure(stage, tmp_path)
    await stage.until("nothing has changed for the processes")


@pytest.mark.parametrize("path", ["a\\u0000b", "x" * 300, "loop"])
async def test_a_path_that_no_folder_can_have_is_refused_like_any_other(
    stage: Stage, tmp_path: Path, path: str
) -> None:
    await begun(stage, tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "config.toml").write_text(f'[[models]]\npath = "{path}"\n')
    stage.hang_up()
    await stage.until("the new configuration cannot be used, and nothing has changed", "there is no folder")
    stage.terminate()
    assert await stage.exit_code() == 0


async def test_without_a_watch_nothing_is_read_until_that_is_asked_for(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    monkeypatch.setattr("launcher.watch.Watch.changed", lambda _: asked.set())
    await begun(stage, tmp_path)
    stage.hang_up()
    await stage.until("nothing has changed for the processes")
    config(tmp_path, OTHER_ROUTER)
    await stage.settled()
    assert not asked.is_set()
    stage.hang_up()
    await stage.until("router-1 is ready", APPLIED)


async def test_another_port_is_taken_before_the_old_one_is_let_go(stage: Stage, tmp_path: Path, free_port: int) -> None:
    await begun(stage, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        reconfigure(stage, tmp_path, f"[router]\nprobe_port = {taken.getsockname()[1]}\n")
        await stage.until("nothing has changed", "is in use")
    reconfigure(stage, tmp_path, f"[router]\nprobe_port = {free_port}\n")
    await stage.until(APPLIED)


async def test_a_new_address_is_announced_with_the_models_that_are_served_there(stage: Stage, tmp_path: Path) -> None:
    await begun(stage, tmp_path)
    reconfigure(stage, tmp_path, f'{MORE}[router]\nhost = "localhost"\n')
    await stage.until("Ready: http://localhost:")
    assert re.search(r"Ready: http://localhost:\d+/v1 \(model tiny, more\)", stage.text)


async def test_a_router_that_dies_too_often_before_it_takes_over_leaves_the_one_in_charge(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, "--crash-budget=0")
    stage.router = "connecting"
    reconfigure(stage, tmp_path, OTHER_ROUTER)
    await stage.until("router-1 is ready")
    stage.kill("router-1")
    await stage.until("could not be applied: router-1 does not use the workers that serve")
    await stage.settled()
    assert stage.running == ["worker-0", "router"]
    stage.terminate()
    assert await stage.exit_code() == 0


async def test_where_the_router_in_charge_is_given_up_and_the_next_does_not_start_the_launcher_ends(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, "--crash-budget=0")
    stage.router = "never-serves"
    reconfigure(stage, tmp_path, OTHER_ROUTER)
    await stage.until("router-1 | up")
    stage.kill("router")
    await stage.until("router died more than 0 times within 300 s; it is given up")
    stage.kill("router-1")
    assert await stage.exit_code() == 3
    assert "could not be applied: router-1 failed to start: it was ended by signal 9" in stage.text


async def test_a_signal_while_the_configuration_is_applied_stops_everything(stage: Stage, tmp_path: Path) -> None:
    await begun(stage, tmp_path)
    stage.worker = "never-serves"
    reconfigure(stage, tmp_path, ANOTHER_ENGINE)
    await stage.until("worker-1 | up")
    stage.terminate()
    assert await stage.exit_code() == 0
    assert stage.running == []


async def test_a_worker_that_was_given_up_is_in_the_way_of_no_change_and_gets_another_chance(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, "--crash-budget=0", text=MORE)
    stage.kill("worker-1")
    await stage.until("worker-1 died more than 0 times")
    stage.worker = "refuses"
    reconfigure(stage, tmp_path, f"{MORE}{OTHER_ROUTER}")
    await stage.until("router-1 is ready", "worker-1 failed to start", APPLIED)
    stage.worker = ""
    stage.hang_up()
    await stage.until("worker-1 is ready", "router-2 is ready", APPLIED)


async def test_a_worker_on_a_gpu_stays_for_its_successor_where_the_others_of_its_model_are_given_up(
    stage: Stage, tmp_path: Path
) -> None:
    await begun_on_gpus(stage, tmp_path, "--crash-budget=0")
    stage.kill("worker-1")
    await stage.until("worker-1 died more than 0 times")
    (tmp_path / "config.toml").write_text(f"{GPUS}{ANOTHER_ENGINE}")
    stage.hang_up()
    await stage.until(APPLIED)
    assert order(stage.text, "worker-2 is ready", "stopping worker-0")


async def test_a_signal_while_a_worker_is_exchanged_starts_nothing_more(stage: Stage, tmp_path: Path) -> None:
    await begun_on_gpus(stage, tmp_path)
    stage.worker = "never-serves"
    (tmp_path / "config.toml").write_text(f"{GPUS}{ANOTHER_ENGINE}")
    stage.hang_up()
    await stage.until("worker-2 | up")
    stage.terminate()
    assert await stage.exit_code() == 0
    assert "starting router-2" not in stage.text
    assert stage.running == []


async def test_a_router_that_hangs_while_it_leaves_is_killed_and_a_change_waits_no_longer_for_it(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, "--unhealthy-seconds=1")
    stage.has("router", "ignores-sigusr1")
    reconfigure(stage, tmp_path, ANOTHER_ENGINE)
    await stage.until("router-1 is ready")
    await stage.settled()
    assert stage.running == ["worker-0", "router", "worker-1", "router-1"]
    stage.hang("router")
    await stage.until("router was not healthy for 1 s and was killed", "stopping worker-0", APPLIED)
    assert stage.running == ["worker-1", "router-1"]


async def test_a_worker_that_hangs_while_it_leaves_is_killed_before_the_grace_period_is_over(
    stage: Stage, tmp_path: Path
) -> None:
    await begun(stage, tmp_path, "--unhealthy-seconds=1", "--grace-seconds=3600", text=MORE)
    stage.has("worker-1", "ignores-sigterm")
    reconfigure(stage, tmp_path)
    await stage.until("stopping worker-1")
    stage.hang("worker-1")
    await stage.until("worker-1 was not healthy for 1 s and was killed", APPLIED)
    assert "worker-1" not in stage.running
