import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher import runtime
from launcher.runtime import runtime_folder, status_sockets
from textdiffusion.configuration import ConfigurationError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(runtime, "LONGEST_PARENT", 1000)
    return tmp_path / f"tdi-{os.getuid()}"


def age(folder: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))


def test_nobody_else_can_enter_and_nothing_is_left() -> None:
    with runtime_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        (folder / "worker-0.sock").touch()
    assert not folder.exists()


def test_launchers_that_run_find_one_another() -> None:
    with runtime_folder() as one, runtime_folder() as other:
        for folder in (one, other):
            (folder / "launcher.sock").touch()
        assert status_sockets() == sorted(folder / "launcher.sock" for folder in (one, other))


def test_where_no_launcher_ever_ran_there_is_none() -> None:
    assert status_sockets() == []


def test_what_a_killed_launcher_has_left_goes_when_the_next_one_starts(place: Path) -> None:
    left = place / "left"
    left.mkdir(parents=True)
    place.chmod(0o700)
    (left / "worker-0.sock").touch()
    age(left)
    with runtime_folder():
        assert not left.exists()


def test_the_folder_of_a_launcher_that_runs_stays_however_old_it_is(place: Path) -> None:
    script = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    used = place / "used"
    used.mkdir(parents=True)
    place.chmod(0o700)
    age(used)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(used)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with runtime_folder():
            assert used.exists()


def test_a_folder_that_was_just_made_stays_for_it_may_not_be_locked_yet(place: Path) -> None:
    fresh = place / "fresh"
    fresh.mkdir(parents=True)
    place.chmod(0o700)
    with runtime_folder():
        assert fresh.exists()


def test_a_place_that_others_can_enter_is_refused(place: Path) -> None:
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    with pytest.raises(ConfigurationError, match="belongs to somebody else or is open to others"), runtime_folder():
        pass
    assert status_sockets() == []


def test_a_place_that_is_a_link_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="belongs to somebody else"), runtime_folder():
        pass


def test_a_long_temporary_folder_is_avoided_for_its_sockets_would_have_no_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "LONGEST_PARENT", 1)
    with runtime_folder() as folder:
        assert folder.is_relative_to("/tmp")  # noqa: S108


def test_a_place_that_is_a_file_is_refused_in_a_sentence(place: Path) -> None:
    place.touch()
    with (
        pytest.raises(ConfigurationError, match="cannot be used for sockets: File exists; set TMPDIR"),
        runtime_folder(),
    ):
        pass


@pytest.mark.parametrize("name", ["a,b", "a%20b", "a#b", "a?b"])
def test_where_sockets_would_not_be_found_the_folder_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / name))
    with runtime_folder() as folder:
        assert not folder.is_relative_to(tmp_path)
