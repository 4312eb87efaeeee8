"""Which processes are to run, and the command line and the environment of each."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.settings import LauncherRoot
from textdiffusion.configuration import arguments_for, environment_for, without_secrets
from textdiffusion.settings import EngineSettings, WorkerSettings


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker: its name in the log, what it serves and where."""

    name: str
    settings: WorkerSettings

    def command(self, root: LauncherRoot) -> list[str]:
        return _python("worker", [*arguments_for(self.settings), *_shared_arguments(root)])


def plan_workers(root: LauncherRoot, runtime: Path) -> list[WorkerPlan]:
    """One worker for each device of each model, with its socket in the folder `runtime`."""
    placements = [(model, device) for model in root.models for device in model.devices]
    return [
        WorkerPlan(
            name=f"worker-{number}",
            settings=WorkerSettings(
                model=model.path,
                id=model.id,
                listen=f"unix:{runtime / f'worker-{number}.sock'}",
                device=device,
                grace_seconds=root.launcher.grace_seconds,
                **{name: getattr(model, name) for name in EngineSettings.model_fields},
            ),
        )
        for number, (model, device) in enumerate(placements)
    ]


def router_command(root: LauncherRoot, port: int, workers: Sequence[WorkerPlan]) -> list[str]:
    """The router in front of `workers`; it drains no longer than the launcher lets it live."""
    router = root.router.model_copy(
        update={
            "port": port,
            "workers": tuple(plan.settings.listen for plan in workers),
            "drain_seconds": min(root.router.drain_seconds, root.launcher.grace_seconds),
        }
    )
    return _python("router", [*arguments_for(router), *_shared_arguments(root)])


def _shared_arguments(root: LauncherRoot) -> list[str]:
    return [*arguments_for(root.logging), *arguments_for(root.tracing)]


def router_environment(root: LauncherRoot) -> dict[str, str]:
    """That of any child, and the secrets of the router, which its command line would show to everyone."""
    return {**child_environment(), **environment_for("router", root.router)}


def child_environment() -> dict[str, str]:
    """What every child inherits."""
    return without_secrets(LauncherRoot, os.environ)


def _python(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
