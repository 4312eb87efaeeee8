"""Notices that files have changed.

By reading them, once a second: they are small, and what tells of changes otherwise differs from one file system to the
next, and misses the links that Kubernetes exchanges.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

EVERY_SECONDS: Final = 1.0


class Watch:
    """Remembers what was in files."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._known = contents(paths)

    def follow(self, paths: Sequence[Path]) -> None:
        """Watches these too, from now on."""
        self._paths = (*self._paths, *paths)
        self._known = (*self._known, *contents(paths))

    async def changed(self, every_seconds: float = EVERY_SECONDS) -> None:
        """Returns once the files differ from what they were, and are no longer being written."""
        before = self._known
        while True:
            await asyncio.sleep(every_seconds)
            now = contents(self._paths)
            if now == before != self._known:
                self._known = now
                return
            before = now


def contents(paths: Sequence[Path]) -> tuple[bytes | None, ...]:
    """A digest of what is in each of the files; none for one that cannot be read."""
    return tuple(_digest(path) for path in paths)


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
