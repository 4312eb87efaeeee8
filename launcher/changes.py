"""What has to be done so that the workers that run become those that are configured."""

from collections.abc import Sequence
from dataclasses import dataclass

from launcher.plan import WorkerSpec


@dataclass(frozen=True, slots=True)
class Changes:
    """Pairs are a worker that runs, and what it is to become."""

    start: Sequence[WorkerSpec]
    replace: Sequence[tuple[WorkerSpec, WorkerSpec]]  # by another process
    tell: Sequence[tuple[WorkerSpec, WorkerSpec]]  # which can change that without a new process
    stop: Sequence[WorkerSpec]

    def __bool__(self) -> bool:
        return bool(self.start or self.replace or self.tell or self.stop)


def changes(running: Sequence[WorkerSpec], wanted: Sequence[WorkerSpec]) -> Changes:
    """Compares the workers that have the same place; those that are without a counterpart start or stop."""
    now = {spec.place: spec for spec in running}
    then = {spec.place: spec for spec in wanted}
    both = [(now[place], then[place]) for place in then if place in now]
    return Changes(
        start=[spec for place, spec in then.items() if place not in now],
        replace=[(old, new) for old, new in both if old.fixed != new.fixed],
        tell=[(old, new) for old, new in both if old.fixed == new.fixed and old.live != new.live],
        stop=[spec for place, spec in now.items() if place not in then],
    )


def beside(old: WorkerSpec, running: Sequence[WorkerSpec]) -> bool:
    """Whether the new worker has to be there before the old one goes.

    Side by side they need memory for both, which a GPU may not have; but where nobody else serves the model, there is
    no other way to replace a worker without failing a request.
    """
    return old.device == "cpu" or not any(spec.model == old.model and spec is not old for spec in running)
