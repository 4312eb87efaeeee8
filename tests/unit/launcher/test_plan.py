import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.plan import Plan, child_environment, router_plan, worker_plan, worker_specs
from launcher.ports import Doors
from launcher.settings import LaunchedModel, LaunchedRouter, LauncherRoot
from textdiffusion.keys import digest_of, parse_keys
from textdiffusion.memory import GB
from textdiffusion.settings import GenerationSettings, LauncherSettings, LoggingSettings, TracingSettings

ROOT = LauncherRoot(
    launcher=LauncherSettings(grace_seconds=7),
    router=LaunchedRouter(host="127.0.0.1", port=0, allow_plaintext_workers=True),
    models=(
        LaunchedModel(id="a", path="lab/a", devices=("cuda:0", "cuda:1"), generation=GenerationSettings(steps=4)),
        LaunchedModel(id="b", path="lab/b", dtype="float32", max_queued_requests=3, addresses=("gpu-2:50051",)),
        LaunchedModel(id="c", addresses=("gpu-3:50051",)),
    ),
    logging=LoggingSettings(log_format="json"),
    tracing=TracingSettings(otlp_endpoint="http://collector:4318", sample_ratio=0.5),
)
RUNTIME = Path("/run/tdi")


def worker_plans(root: LauncherRoot = ROOT) -> list[Plan]:
    specs = worker_specs(root, ["cpu"])
    return [worker_plan(spec, f"worker-{number}", RUNTIME) for number, spec in enumerate(specs)]


@pytest.fixture
def doors() -> Iterator[Doors]:
    doors = Doors.of(ROOT.router)
    yield doors
    doors.close()


def test_each_device_of_each_model_gets_a_worker_of_its_own() -> None:
    plans = worker_plans()
    assert [(plan.name, plan.model, plan.device) for plan in plans] == [
        ("worker-0", "a", "cuda:0"),
        ("worker-1", "a", "cuda:1"),
        ("worker-2", "b", "cpu"),
    ]
    assert [plan.address for plan in plans] == [f"unix:/run/tdi/worker-{number}.sock" for number in range(3)]


def test_a_worker_is_told_all_that_its_model_is_configured_with() -> None:
    first, _, last = (plan.command for plan in worker_plans())
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
    assert {"--device=cpu", "--dtype=float32", "--max-queued-requests=3"} <= set(last)


def test_a_worker_sees_no_other_gpu_than_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    first, second, last = worker_plans()
    assert first.environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert second.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert "--device=cuda:0" in second.command
    assert "CUDA_VISIBLE_DEVICES" not in last.environment


def test_workers_on_the_cpu_share_its_cores_and_one_alone_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.plan.cores", lambda: 8)

    def threads(*devices: str) -> list[int | None]:
        root = LauncherRoot(models=(LaunchedModel(id="a", path="lab/a", devices=devices),))
        return [spec.settings.cpu_threads for spec in worker_specs(root, ["cpu"])]

    assert threads("cpu") == [None]
    assert threads("cpu", "auto", "cuda:0") == [4, 4, None]


def test_workers_on_one_device_share_its_memory_and_one_alone_takes_what_is_left() -> None:
    def shares(*devices: str) -> list[float | None]:
        root = LauncherRoot(models=(LaunchedModel(id="a", path="lab/a", devices=devices),))
        return [spec.memory_gb for spec in worker_specs(root, ["cpu"], {"cpu": 8 * GB, "cuda:0": 80 * GB})]

    assert shares("cpu") == [None]
    assert shares("cpu", "auto", "cuda:0") == [4, 4, None]
    assert shares("cuda", "cuda:0") == [40, 40]


def test_beside_a_model_that_is_still_on_the_hub_no_share_is_guessed() -> None:
    models = [LaunchedModel(id="a", path="lab/a", devices=("cpu",)), LaunchedModel(id="b", path=".", devices=("cpu",))]
    specs = worker_specs(LauncherRoot(models=tuple(models)), ["cpu"], {"cpu": 8 * GB})
    assert [spec.memory_gb for spec in specs] == [None, None]


def test_what_a_model_may_take_by_the_settings_is_not_shared_out_again() -> None:
    first = LaunchedModel(id="a", path="lab/a", devices=("cpu",), memory_gb=6)
    second = LaunchedModel(id="b", path="lab/b", devices=("cpu", "cpu"))
    specs = worker_specs(LauncherRoot(models=(first, second)), ["cpu"], {"cpu": 8 * GB})
    assert [spec.memory_gb for spec in specs] == [6, 1, 1]
    assert "--memory-gb=6.0" in worker_plan(specs[0], "worker-0", RUNTIME).command


def test_another_share_of_the_memory_is_not_worth_a_new_process() -> None:
    one, other = (worker_specs(ROOT, ["cpu"], {"cpu": size})[2] for size in (GB, 2 * GB))
    assert one.fixed == replace(other, memory_gb=7.0).fixed


def test_what_is_not_set_is_left_to_the_worker() -> None:
    assert not [argument for argument in worker_plans()[2].command if argument.startswith("--steps")]


def test_the_router_is_told_its_port_and_every_worker_those_of_others_too(doors: Doors) -> None:
    plan = router_plan(ROOT, "router", doors, [plan.address for plan in worker_plans()], RUNTIME)
    here = [f"unix:/run/tdi/worker-{number}.sock" for number in range(3)]
    addresses = ",".join([*here, "gpu-2:50051", "gpu-3:50051"])
    assert {f"--port={doors.main.port}", f"--workers={addresses}", "--log-format=json"} <= set(plan.command)
    assert {"--otlp-endpoint=http://collector:4318", "--trace-sample-ratio=0.5"} <= set(plan.command)


def test_the_router_inherits_its_sockets(doors: Doors) -> None:
    plan = router_plan(ROOT, "router-3", doors, [], RUNTIME)
    numbers = [socket.fileno() for socket in doors.main.sockets]
    assert plan.sockets == tuple(numbers)
    assert plan.environment["TDI_SOCKETS"] == ",".join(map(str, numbers))
    assert plan.environment["TDI_PROBE_SOCKETS"] == ""
    assert plan.environment["TDI_CONTROL"] == "/run/tdi/router-3.sock"
    assert plan.environment["TDI_STATUS"] == "/run/tdi/launcher.sock"


def test_the_router_drains_no_longer_than_the_launcher_waits(doors: Doors) -> None:
    assert "--drain-seconds=7.0" in router_plan(ROOT, "router", doors, [], RUNTIME).command


def test_keys_are_in_the_environment_of_the_router_and_on_no_command_line(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDI_ROUTER__API_KEYS", '{"alice": "sk-alice"}')
    root = ROOT.model_copy(update={"router": LaunchedRouter(api_keys=parse_keys({"alice": "sk-alice"}))})
    router, workers = router_plan(root, "router", doors, [], RUNTIME), worker_plans(root)
    assert "alice" not in str([router.command, *((plan.command, plan.environment) for plan in workers)])
    assert json.loads(router.environment["TDI_ROUTER__API_KEYS"]) == {"alice": digest_of(b"sk-alice")}
    assert "alice" not in repr(router)


def test_without_keys_the_router_gets_none(doors: Doors) -> None:
    assert "TDI_ROUTER__API_KEYS" not in router_plan(ROOT, "router", doors, [], RUNTIME).environment


def test_whatever_else_there_is_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    assert child_environment()["HF_HOME"] == "/models"


def test_templates_go_to_the_router_and_tokenizers_to_workers(doors: Doors, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}")
    model = LaunchedModel(id="a", path="lab/a", devices=("cpu",), tokenizer="lab/t", chat_template=file)
    root = LauncherRoot(models=(model,))
    (worker,) = worker_plans(root)
    before = router_plan(root, "router", doors, [], RUNTIME)
    assert "--tokenizer=lab/t" in worker.command
    assert "mine.jinja" not in str(worker.command)
    (argument,) = [argument for argument in before.command if argument.startswith("--chat-templates=")]
    assert json.loads(argument.partition("=")[2]) == {"a": str(file)}
    file.write_text("{{ messages[0] }}")
    assert router_plan(root, "router", doors, [], RUNTIME) != before


def test_workers_with_other_tokenizers_do_not_serve_together() -> None:
    model = LaunchedModel(id="a", path="lab/a", devices=("cpu",))
    other = model.model_copy(update={"tokenizer": "lab/t"})
    (first,), (second,) = (worker_specs(LauncherRoot(models=(one,)), ["cpu"]) for one in (model, other))
    assert first.weights != second.weights
