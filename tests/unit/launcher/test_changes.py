from collections.abc import Sequence
from typing import Any

import pytest

from launcher.changes import Changes, beside, changes
from launcher.plan import WorkerSpec, worker_specs
from launcher.settings import LaunchedModel, LauncherRoot
from textdiffusion.settings import GenerationSettings, LauncherSettings, LoggingSettings, TracingSettings

FOUND = ("cuda:0", "cuda:1")


def model(**settings: Any) -> LaunchedModel:
    return LaunchedModel(**{"id": "a", "path": "lab/a", "devices": ("cuda:0", "cuda:1"), **settings})


def specs(*models: LaunchedModel, **sections: Any) -> list[WorkerSpec]:
    return worker_specs(LauncherRoot(models=models, **sections), FOUND)


def counts(found: Changes) -> tuple[int, int, int, int]:
    return len(found.start), len(found.replace), len(found.tell), len(found.stop)


def test_nothing_has_to_be_done_for_what_is_as_it_was() -> None:
    assert not changes(specs(model()), specs(model()))


@pytest.mark.parametrize(
    "setting", [{"path": "lab/b"}, {"dtype": "float32"}, {"max_queued_requests": 1}, {"max_concurrent_requests": 2}]
)
def test_what_the_engine_is_built_with_takes_new_workers(setting: dict[str, Any]) -> None:
    assert counts(changes(specs(model()), specs(model(**setting)))) == (0, 2, 0, 0)


def test_generation_defaults_are_told_to_the_workers_that_run() -> None:
    found = changes(specs(model()), specs(model(generation=GenerationSettings(steps=4))))
    assert counts(found) == (0, 0, 2, 0)
    assert found.tell[0][1].live == '{"generation": {"steps": 4}, "log_level": "info"}'


def test_so_is_the_log_level_but_not_the_format() -> None:
    told = changes(specs(model()), specs(model(), logging=LoggingSettings(log_level="debug")))
    assert counts(told) == (0, 0, 2, 0)
    replaced = changes(specs(model()), specs(model(), logging=LoggingSettings(log_format="json")))
    assert counts(replaced) == (0, 2, 0, 0)


def test_where_traces_go_takes_new_workers() -> None:
    traced = specs(model(), tracing=TracingSettings(otlp_endpoint="http://collector:4318"))
    assert counts(changes(specs(model()), traced)) == (0, 2, 0, 0)


def test_the_grace_period_is_not_worth_a_new_worker() -> None:
    assert not changes(specs(model()), specs(model(), launcher=LauncherSettings(grace_seconds=40)))


def test_a_device_more_is_a_worker_more_and_one_less_one_less() -> None:
    one, two = specs(model(devices=("cuda:0",))), specs(model())
    assert counts(changes(one, two)) == (1, 0, 0, 0)
    assert counts(changes(two, one)) == (0, 0, 0, 1)


def test_a_device_named_twice_has_two_workers() -> None:
    assert counts(changes(specs(model()), specs(model(devices=("cuda:0", "cuda:0", "cuda:1"))))) == (1, 0, 0, 0)


def test_auto_is_what_was_found_so_that_naming_it_changes_nothing() -> None:
    assert not changes(specs(model(devices=("auto",))), specs(model()))


def test_models_come_and_go_by_themselves() -> None:
    both = specs(model(), model(id="b", devices=("cpu",)))
    assert counts(changes(specs(model()), both)) == (1, 0, 0, 0)
    assert counts(changes(both, specs(model()))) == (0, 0, 0, 2 - 1)


def test_one_more_worker_on_the_cpu_leaves_fewer_threads_to_each() -> None:
    one, two = specs(model(devices=("cpu",))), specs(model(devices=("cpu", "cpu")))
    assert counts(changes(one, two)) == (1, 1, 0, 0)


def running(*devices: str) -> Sequence[WorkerSpec]:
    return specs(model(devices=devices))


def test_a_worker_on_a_gpu_makes_room_first_if_another_serves_meanwhile() -> None:
    first, second = running("cuda:0", "cuda:1")
    assert not beside(first, [first, second])


def test_the_only_worker_of_a_model_stays_until_the_new_one_serves() -> None:
    (only,) = running("cuda:0")
    other = specs(model(id="b"))
    assert beside(only, [only, *other])


def test_a_cpu_has_room_for_both() -> None:
    first, second = running("cpu", "cpu")
    assert beside(first, [first, second])
