"""The folder of a launcher that runs: the sockets on which its processes are reached, and only by the same user.

All launchers of a user have theirs in one place, so that `status` finds them. Each holds a lock on its own; a folder
that nobody holds is what a killed launcher has left, and the next one takes it away.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from textdiffusion.addresses import can_be_connected_to
from textdiffusion.configuration import ConfigurationError

STATUS_SOCKET: Final = "launcher.sock"
# The address of a unix socket holds 107 bytes, and the names of folders and socket come on top.
LONGEST_PARENT: Final = 60
FRESH_SECONDS: Final = 60.0  # a folder that is younger may not be locked yet


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """A folder that only this user can enter; it is removed at the end. Raises `ConfigurationError`."""
    place = _place()
    try:
        _make(place)
        _sweep(place)
        folder = Path(tempfile.mkdtemp(dir=place))
    except OSError as error:
        raise ConfigurationError([f"{place}: cannot be used for sockets: {error.strerror}; set TMPDIR"]) from error
    lock = _locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def status_sockets() -> list[Path]:
    """Of all launchers of this user, those of killed ones included."""
    place = _place()
    return sorted(place.glob(f"*/{STATUS_SOCKET}")) if place.is_dir() and _is_private(place) else []


def _place() -> Path:
    usual = tempfile.gettempdir()
    will_do = len(os.fsencode(usual)) <= LONGEST_PARENT and can_be_connected_to(usual)
    parent = usual if will_do else "/tmp"  # noqa: S108 - it is checked below
    return Path(parent) / f"tdi-{os.getuid()}"


def _make(place: Path) -> None:
    place.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(place):
        raise ConfigurationError([f"{place}: belongs to somebody else or is open to others; remove it or set TMPDIR"])


def _is_private(place: Path) -> bool:
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _sweep(place: Path) -> None:
    for folder in place.iterdir():
        with contextlib.suppress(FileNotFoundError):  # its launcher was faster
            lock = _locked(folder) if time.time() - folder.lstat().st_mtime > FRESH_SECONDS else None
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """Holds the folder until the descriptor is closed, at the end of this process at the latest."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
