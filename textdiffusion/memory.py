"""Memory that can still be had, as this process's control groups and the machine leave it.

Inside a container the machine's own figures say nothing of the limit at which the kernel kills: that is the group's,
or that of a group above it. A limit counts the cache of files too, which the kernel gives up first; so what is left is
the limit less what cannot be given up.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import psutil

GROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")
# Version 1 writes a number of about this size where there is no limit.
NO_LIMIT: Final = 1 << 60
GB: Final = 10**9


def available_memory(membership: Path = MEMBERSHIP, groups: Path = GROUPS) -> int:
    """Return the bytes that a process started now could take: the least that the machine and any group leave."""
    left = (_left(folder) for folder in _memory_groups(membership, groups))
    return max(0, min(psutil.virtual_memory().available, *(number for number in left if number is not None), NO_LIMIT))


def in_gb(number: int) -> str:
    """Return a number of bytes as people read it: ``16.1 GB``, ``0.034 GB``."""
    gigabytes = number / GB
    return f"{gigabytes:.{1 if gigabytes >= 10 else 2 if gigabytes >= 1 else 3}f} GB"  # noqa: PLR2004 - three digits


def _memory_groups(membership: Path, groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups that may limit memory, each followed by those above it."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2) if line.count(":") > 1 else ("", "-", "")
        if not controllers:
            yield from _upwards(groups, path)
        elif "memory" in controllers.split(","):
            yield from _upwards(groups / "memory", path)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and those above it, as far as they can be seen from here.

    A container often sees its own group as the root, while its path is the one that the host knows.
    """
    parts = PurePosixPath(path.lstrip("/")).parts
    here = mount.joinpath(*parts)
    if ".." in parts or not os.path.isdir(here):  # noqa: PTH112 - a Path raises for a folder that is closed to this user
        here = mount
    yield here
    while here != mount:
        here = here.parent
        yield here


def _left(folder: Path) -> int | None:
    """Return what a group has left; none if it has no limit or cannot be read."""
    for limit_file, usage_file, cache in (
        ("memory.max", "memory.current", ("inactive_file", "active_file", "slab_reclaimable")),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
    ):
        limit, usage = _number(folder / limit_file), _number(folder / usage_file)
        if limit is not None and usage is not None and limit < NO_LIMIT:
            statistics = dict(_statistics(folder / "memory.stat"))
            return limit - max(0, usage - sum(statistics.get(name, 0) for name in cache))
    return None


def _number(file: Path) -> int | None:
    text = _read(file).strip()
    return int(text) if text.isdecimal() else None  # it may say "max"


def _statistics(file: Path) -> Iterator[tuple[str, int]]:
    for line in _read(file).splitlines():
        name, _, number = line.partition(" ")
        if number.isdecimal():
            yield name, int(number)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError):
        return ""
