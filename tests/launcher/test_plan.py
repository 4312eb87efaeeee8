import json
import sys
from pathlib import Path

import pytest

from launcher.plan import child_environment, plan_workers, router_command, router_environment
from launcher.settings import LaunchedModel, LaunchedRouter, LauncherRoot
from textdiffusion.keys import digest_of, parse_keys
from textdiffusion.settings import GenerationSettings, LauncherSettings, LoggingSettings, TracingSettings

ROOT = LauncherRoot(
    launcher=LauncherSettings(grace_seconds=7),
    router=LaunchedRouter(host="::1", port=0),
    models=(
        LaunchedModel(id="a", path="lab/a", devices=("cuda:0", "cuda:1"), generation=GenerationSettings(steps=4)),
        LaunchedModel(id="b", path="lab/b", dtype="float32", max_queued_requests=3),
    ),
    logging=LoggingSettings(log_format="json"),
    tracing=TracingSettings(otlp_endpoint="http://collector:4318", sample_ratio=0.5),
)
RUNTIME = Path("/run/tdi")


def test_each_device_of_each_model_gets_a_worker_of_its_own() -> None:
    plans = plan_workers(ROOT, RUNTIME)
    assert [(plan.name, plan.settings.model, plan.settings.device) for plan in plans] == [
        ("worker-0", "lab/a", "cuda:0"),
        ("worker-1", "lab/a", "cuda:1"),
        ("worker-2", "lab/b", "auto"),
    ]
    assert len({plan.settings.listen for plan in plans}) == 3


def test_a_worker_is_told_all_that_its_model_is_configured_with() -> None:
    first, _, last = (plan.command(ROOT) for plan in plan_workers(ROOT, RUNTIME))
    assert first[:3] == [sys.executable, "-m", "worker"]
    assert {
        "--model=lab/a",
        "--id=a",
        "--device=cuda:0",
        "--dtype=auto",
        "--listen=unix:/run/tdi/worker-0.sock",
        "--grace-seconds=7.0",
        "--steps=4",
        "--log-format=json",
        "--otlp-endpoint=http://collector:4318",
        "--trace-sample-ratio=0.5",
    } <= set(first)
    assert {"--dtype=float32", "--max-queued-requests=3"} <= set(last)


def test_what_is_not_set_is_left_to_the_worker() -> None:
    command = plan_workers(ROOT, RUNTIME)[2].command(ROOT)
    assert not [argument for argument in command if argument.startswith("--steps")]


def test_the_router_is_told_its_port_and_every_worker() -> None:
    command = router_command(ROOT, 8123, plan_workers(ROOT, RUNTIME))
    addresses = ",".join(f"unix:/run/tdi/worker-{number}.sock" for number in range(3))
    assert {"--host=::1", "--port=8123", f"--workers={addresses}", "--log-format=json"} <= set(command)
    assert {"--otlp-endpoint=http://collector:4318", "--trace-sample-ratio=0.5"} <= set(command)


def test_the_router_drains_no_longer_than_the_launcher_waits() -> None:
    assert "--drain-seconds=7.0" in router_command(ROOT, 8123, [])


def test_keys_are_in_the_environment_of_the_router_and_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_ROUTER__API_KEYS", '{"alice": "sk-alice"}')
    root = ROOT.model_copy(update={"router": LaunchedRouter(api_keys=parse_keys({"alice": "sk-alice"}))})
    plans = plan_workers(root, RUNTIME)
    assert "alice" not in str([router_command(root, 8123, plans), *(plan.command(root) for plan in plans)])
    assert json.loads(router_environment(root)["TDI_ROUTER__API_KEYS"]) == {"alice": digest_of(b"sk-alice")}
    assert "alice" not in str(child_environment())


def test_without_keys_the_router_gets_none() -> None:
    assert router_environment(ROOT) == child_environment()


def test_whatever_else_there_is_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    assert child_environment()["HF_HOME"] == "/models"
