"""Which faults come when: at random, and the same for the same seed as long as the stack fares the same."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Kind(Enum):
    WORKER_KILLED = "worker killed"
    WORKER_STOPPED = "worker stopped for good"
    WORKER_TERMINATED = "worker asked to end"
    WORKER_PAUSED = "worker stopped for seconds"
    ROUTER_KILLED = "router killed"
    ROUTER_STOPPED = "router stopped for good"
    ROUTER_PAUSED = "router stopped for seconds"
    WORKERS_CHANGED = "setting of the workers changed"
    ROUTER_CHANGED = "setting of the router changed"
    SETTINGS_BROKEN = "settings that cannot be used"
    HANGUP = "SIGHUP"
    CLIENTS_LEFT = "clients left in mid-stream"


# What takes long to recover from comes less often.
WEIGHTS: Final[Mapping[Kind, float]] = MappingProxyType(
    {
        Kind.WORKER_KILLED: 5,
        Kind.WORKER_STOPPED: 2,
        Kind.WORKER_TERMINATED: 4,
        Kind.WORKER_PAUSED: 4,
        Kind.ROUTER_KILLED: 3,
        Kind.ROUTER_STOPPED: 1,
        Kind.ROUTER_PAUSED: 3,
        Kind.WORKERS_CHANGED: 1,
        Kind.ROUTER_CHANGED: 2,
        Kind.SETTINGS_BROKEN: 2,
        Kind.HANGUP: 2,
        Kind.CLIENTS_LEFT: 4,
    }
)
TAKE_A_WORKER: Final = frozenset({Kind.WORKER_KILLED, Kind.WORKER_STOPPED, Kind.WORKER_TERMINATED})
LAST_WORKER_SHARE: Final = 0.2  # of those faults that may take the only one that serves
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 4.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` is in seconds since the load began; what it is depends on what it would leave."""

    at: float
    seed: str

    def rng(self) -> random.Random:
        """For all else that is left to chance."""
        return random.Random(self.seed)

    def kind(self, serving: int) -> Kind:
        """Where `serving` workers serve."""
        rng = self.rng()
        takes_the_last = rng.random() < LAST_WORKER_SHARE
        spared = frozenset() if serving > 1 or (serving == 1 and takes_the_last) else TAKE_A_WORKER
        kinds = [kind for kind in WEIGHTS if kind not in spared]
        return rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]


def faults(count: int, seconds: float, seed: int) -> Iterator[Fault]:
    """In the order in which they come, one in each of `count` equal parts of the time, and somewhere in it."""
    rng = random.Random(f"{seed} faults")
    for number in range(count):
        yield Fault((number + rng.random()) * seconds / count, f"{seed} fault {number}")


def pause_seconds(rng: random.Random) -> float:
    return rng.uniform(MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
