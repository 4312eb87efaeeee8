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

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._known = self._contents()

    async def changed(self, every_seconds: float = EVERY_SECONDS) -> None:
        """Returns once the files differ from what they were, and nobody writes on."""
        before = self._known
        while True:
            await asyncio.sleep(every_seconds)
            now = self._contents()
            if now == before != self._known:
                self._known = now
                return
            before = now

    def _contents(self) -> list[bytes | None]:
        return [_digest(path) for path in self._paths]


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
