from pathlib import Path
from types import SimpleNamespace

import pytest

from textdiffusion.memory import available_memory, in_gb

MACHINE = 20 * 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=MACHINE))


def write(folder: Path, **files: object) -> None:
    """Files of a group; a double underscore stands for the dot in their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".", 1)).write_text(f"{content}\n")


def membership(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "membership"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def left(tmp_path: Path, *lines: str) -> int:
    return available_memory(membership(tmp_path, *lines), tmp_path / "groups")


def test_without_groups_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "none", tmp_path) == MACHINE
    assert left(tmp_path, "0::/") == MACHINE
    assert left(tmp_path, "nonsense", "", "5:memory") == MACHINE


def test_a_version_2_limit_counts_less_what_is_used_and_not_the_cache_of_files(tmp_path: Path) -> None:
    group = tmp_path / "groups" / "pod" / "worker"
    write(group, memory__max=10_000, memory__current=4_000)
    (group / "memory.stat").write_text(
        "anon 1000\ninactive_file 2000\nactive_file 500\nslab_reclaimable 100\nshmem 9\n"
    )
    assert left(tmp_path, "0::/pod/worker") == 10_000 - (4_000 - 2_600)


def test_a_version_1_limit_counts_too(tmp_path: Path) -> None:
    group = tmp_path / "groups" / "memory" / "docker" / "abc"
    write(group, memory__limit_in_bytes=9_000, memory__usage_in_bytes=4_000)
    (group / "memory.stat").write_text("total_inactive_file 300\ntotal_active_file 200\ninactive_file 7\n")
    assert left(tmp_path, "9:cpu,cpuacct:/x", "4:memory:/docker/abc", "0::/") == 9_000 - 3_500


def test_the_least_of_a_group_and_those_above_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "groups" / "slice", memory__max=5_000, memory__current=1_000)
    write(tmp_path / "groups" / "slice" / "job", memory__max=8_000, memory__current=1_000)
    write(tmp_path / "groups" / "slice" / "job" / "step", memory__max="max", memory__current=500)
    assert left(tmp_path, "0::/slice/job/step") == 4_000


@pytest.mark.parametrize("path", ["/kubepods/pod1/abc", "/../../kubepods/abc"])
def test_in_a_container_that_sees_its_group_as_the_root_that_limit_holds(tmp_path: Path, path: str) -> None:
    write(tmp_path / "groups", memory__max=3_000, memory__current=1_000)
    assert left(tmp_path, f"0::{path}") == 2_000


@pytest.mark.parametrize("limit", ["max", 9_223_372_036_854_771_712, "", "many"])
def test_what_is_no_limit_limits_nothing(tmp_path: Path, limit: object) -> None:
    write(tmp_path / "groups" / "memory", memory__limit_in_bytes=limit, memory__usage_in_bytes=1)
    write(tmp_path / "groups", memory__max=limit, memory__current=1)
    assert left(tmp_path, "4:memory:/", "0::/") == MACHINE


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    write(tmp_path / "groups", memory__max=3_000, memory__current=5_000)
    assert left(tmp_path, "0::/") == 0


@pytest.mark.parametrize(("number", "text"), [(16_060_000_000, "16.1 GB"), (2_140_000_000, "2.14 GB"), (9, "0.000 GB")])
def test_bytes_are_said_in_gigabytes(number: int, text: str) -> None:
    assert in_gb(number) == text
