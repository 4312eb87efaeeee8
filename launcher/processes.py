"""The processes of a stack, each with what it was started with: what is configured may have become something else."""

from dataclasses import dataclass
from typing import Final

from launcher.plan import WorkerSpec
from launcher.ports import Doors
from launcher.settings import LauncherRoot
from launcher.supervised import Supervised

# A router that was replaced waits so long for those who keep a connection open and say nothing.
IDLE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Worker:
    spec: WorkerSpec
    process: Supervised


@dataclass(frozen=True, slots=True)
class Router:
    root: LauncherRoot
    doors: Doors
    process: Supervised

    @property
    def drain_seconds(self) -> float:
        """How long it may take to end once it is asked to."""
        return self.root.router.settle_seconds + self.root.drain_seconds

    @property
    def patience_seconds(self) -> float:
        """How long it gets to finish what it has, when another has taken over."""
        return self.root.router.request_timeout_seconds + self.drain_seconds + IDLE_SECONDS
