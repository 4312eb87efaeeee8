import sys
from pathlib import Path

import pytest

from launcher.devices import cores, find_devices, only, share_of_cores, shares_of_memory


async def test_where_no_driver_has_left_its_mark_there_is_the_cpu_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    (device,) = (await find_devices(tmp_path)).items()
    assert device[0] == "cpu"
    assert device[1]


@pytest.mark.parametrize(
    ("says", "devices"), [("cuda:0 900\ncuda:1\n", {"cuda:0": 900, "cuda:1": None}), ("", None), ("cpu\n", None)]
)
async def test_where_there_is_a_driver_the_worker_says_what_it_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, devices: dict[str, int | None] | None
) -> None:
    (tmp_path / "nvidiactl").touch()
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncase \"$*\" in *' -m worker.devices --memory') printf '{says}';; esac\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    found = await find_devices(tmp_path)
    assert found == devices or (devices is None and set(found) == {"cpu"})


def test_what_is_not_decided_yet_is_as_it_is() -> None:
    assert only("auto", {}) == ("auto", {})


@pytest.mark.parametrize(("device", "seen"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:3", "3")])
def test_a_worker_sees_its_own_gpu_alone_as_the_first(device: str, seen: str) -> None:
    assert only(device, {}) == ("cuda:0", {"CUDA_VISIBLE_DEVICES": seen})


def test_gpus_are_counted_among_those_that_are_visible_here_whatever_they_are_called() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "4, MIG-GPU-1a2b/7/0"}
    assert only("cuda:1", environment) == ("cuda:0", {"CUDA_VISIBLE_DEVICES": "MIG-GPU-1a2b/7/0"})


@pytest.mark.parametrize(("device", "visible"), [("cuda:2", "0,1"), ("cuda:0", ""), ("cuda", " ")])
def test_a_gpu_that_is_hidden_stays_so_and_is_left_for_the_worker_to_complain_of(device: str, visible: str) -> None:
    assert only(device, {"CUDA_VISIBLE_DEVICES": visible}) == (device, {})


def test_threads_on_the_cpu_wait_so_that_others_can_compute_too_unless_somebody_has_chosen() -> None:
    assert only("cpu", {}) == ("cpu", {"GOMP_SPINCOUNT": "2000"})
    assert only("cpu", {"OMP_WAIT_POLICY": "active"}) == ("cpu", {})
    assert only("cpu", {"GOMP_SPINCOUNT": "7"}) == ("cpu", {})


def test_one_worker_alone_takes_as_many_threads_as_its_libraries_choose() -> None:
    assert share_of_cores(1, 8) is None


@pytest.mark.parametrize(("workers", "there_are", "share"), [(2, 8, 4), (3, 8, 2), (4, 2, 1)])
def test_several_workers_share_the_cores(workers: int, there_are: int, share: int) -> None:
    assert share_of_cores(workers, there_are) == share


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1


def test_memory_is_shared_by_the_sizes_of_the_models_and_none_is_left_without() -> None:
    large, small = shares_of_memory([16_000_000_000, 10_000_000], 24_000_000_000)
    assert large > 20_000_000_000
    assert small > 2_000_000_000
    assert large + small <= 24_000_000_000


def test_workers_of_one_model_get_the_same() -> None:
    assert shares_of_memory([0, 0], 10) == [5, 5]
