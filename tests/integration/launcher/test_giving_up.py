"""What the launcher makes of processes that do not start, die or hang."""

from pathlib import Path

from tests.integration.launcher.conftest import order
from tests.integration.launcher.stage import Stage


async def test_a_worker_that_uses_up_the_grace_period_is_killed(stage: Stage) -> None:
    stage.worker = "ignores-sigterm"
    stage.launch("--model=./tiny", "--grace-seconds=0.1")
    await stage.until("Ready:")
    stage.terminate()
    assert await stage.exit_code() == 0
    assert "worker-0 did not stop within 0.1 s and was killed" in stage.text
    assert stage.running == []


async def test_a_worker_killed_while_loading_is_explained_by_its_signal(stage: Stage) -> None:
    stage.worker = "is-killed"
    stage.launch("--model=./tiny")
    assert await stage.exit_code() == 2
    assert "signal 9 (SIGKILL)" in stage.text
    assert "out of memory" in stage.text


async def test_a_worker_that_never_serves_ends_the_start_in_time(stage: Stage) -> None:
    stage.worker = "never-serves"
    stage.launch("--model=./tiny", "--start-timeout-seconds=0.2")
    assert await stage.exit_code() == 2
    said = "worker-0 failed to start: it was not ready, said nothing for 0.2 s and was killed; its last lines:"
    assert said in stage.text
    assert stage.running == []


async def test_a_worker_that_the_router_refuses_ends_the_start_with_the_reason(stage: Stage) -> None:
    stage.router = "refused"
    stage.launch("--model=./tiny")
    assert await stage.exit_code() == 2
    assert "launcher | the router refuses worker-0: its tokenizer is another one" in stage.text
    assert "Ready:" not in stage.text
    assert stage.running == []


async def test_a_router_that_dies_while_it_serves_is_started_again_and_the_rest_runs_on(stage: Stage) -> None:
    stage.launch("--model=./tiny", "--devices=cpu,cpu")
    await stage.until("Ready:")
    before = {name: stage.pid(name) for name in stage.running}
    stage.kill("router")
    await stage.until("launcher | router died: it was ended by signal 9", "router is ready again")
    assert [name for name in before if before[name] != stage.pid(name)] == ["router"]
    assert sorted(stage.running) == sorted(before)


async def test_a_worker_that_dies_too_often_is_given_up_while_others_serve_on(stage: Stage) -> None:
    stage.launch("--model=./tiny", "--devices=cpu,cpu", "--crash-budget=1")
    await stage.until("Ready:")
    stage.worker = "is-killed"
    stage.kill("worker-0")
    await stage.until("worker-0 died more than 1 times within 300 s; it is given up")
    await stage.settled()
    assert stage.running == ["worker-1", "router"]
    stage.terminate()
    assert await stage.exit_code() == 0


async def test_where_nothing_is_left_that_could_serve_the_launcher_ends_and_says_so(stage: Stage) -> None:
    stage.launch("--model=./tiny", "--crash-budget=0")
    await stage.until("Ready:")
    stage.kill("worker-0")
    assert await stage.exit_code() == 3
    assert "worker-0 died more than 0 times within 300 s; it is given up" in stage.text
    assert "router | drained" in stage.text
    assert stage.running == []


async def test_a_worker_that_hangs_is_killed_and_started_again(stage: Stage) -> None:
    stage.launch("--model=./tiny", "--unhealthy-seconds=1")
    await stage.until("Ready:")
    stage.hang("worker-0")
    await stage.until("worker-0 died: it was not healthy for 1 s and was killed", "worker-0 is ready again")


async def test_workers_of_others_are_given_to_the_router_and_not_waited_for(stage: Stage) -> None:
    stage.launch("--worker-addresses=unix:/run/somewhere.sock", "--id=far")
    await stage.until("Ready:")
    assert stage.running == ["router"]


async def test_a_key_that_is_taken_out_of_its_file_is_no_longer_known(stage: Stage, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('alice = "sk-1"\nbob = "sk-2"\n')
    keys.chmod(0o600)
    stage.launch("--model=./tiny", "--devices=cpu", "--api-keys-file=keys.toml")
    await stage.until("Ready:")
    keys.write_text('alice = "sk-1"\n')
    await stage.until("router-1 is ready", "the new configuration is applied")
    assert order(stage.text, "router-1 is ready", "router | drained")
