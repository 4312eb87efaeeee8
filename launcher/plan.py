"""Which processes are to run: what each is for, its command line and its environment."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from launcher.devices import CPU, FIRST_GPU, cores, only, share_of_cores, shares_of_memory, size_of_weights
from launcher.ports import Door, Doors
from launcher.runtime import STATUS_SOCKET
from launcher.settings import LaunchedModel, LauncherRoot
from launcher.watch import contents
from textdiffusion.configuration import arguments_for, environment_for, without_secrets
from textdiffusion.memory import GB
from textdiffusion.settings import EngineSettings, GenerationSettings, LoggingSettings, TracingSettings, WorkerSettings
from textdiffusion.status import CONTROL, PROBE_SOCKETS, SOCKETS, STATUS

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Plan:
    """A process that is to run."""

    name: str
    role: Literal["router", "worker"]
    address: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    description: str = ""
    model: str | None = None
    device: str | None = None
    sockets: tuple[int, ...] = ()  # file descriptors that it inherits
    reads: tuple[bytes | None, ...] = ()  # digests of the files that it reads when it starts


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker as it is configured, wherever it will listen."""

    number: int  # among those of its model on its device
    device: str  # as it is called on this machine; the worker itself may see no other
    settings: WorkerSettings
    variables: Mapping[str, str]
    logging: LoggingSettings
    tracing: TracingSettings
    memory_gb: float | None = None  # its share of the device's memory, where others have theirs and none is configured

    @property
    def model(self) -> str:
        return str(self.settings.id)

    @property
    def place(self) -> tuple[str, str, int]:
        """What identifies a worker across a change: its model, its device and its number there."""
        return self.model, self.device, self.number

    @property
    def weights(self) -> tuple[str, str, str | None]:
        """Workers of one model that differ in this cannot serve it together."""
        return self.settings.model, self.settings.dtype, self.settings.tokenizer

    @property
    def live(self) -> str:
        """The line that tells a running worker all that it can change."""
        generation = self.settings.generation.model_dump(exclude_none=True)
        return json.dumps({"generation": generation, "log_level": self.logging.log_level})

    @property
    def fixed(self) -> Any:
        """What only a new process can change. The grace period and the share of memory are left out: not worth one."""
        settings = self.settings.model_copy(
            update={"generation": GenerationSettings(), "grace_seconds": 1.0, "trust_remote_code": False}
        )
        return settings, self.variables, self.logging.log_format, self.tracing


def worker_specs(
    root: LauncherRoot, found: Sequence[str], memory: Mapping[str, int] = MappingProxyType({})
) -> list[WorkerSpec]:
    """One worker for each device of each model; `found` are those that "auto" stands for.

    `memory` says how many bytes devices have, which the workers on one share.
    """
    placements = [(model, device) for model in root.models for device in _devices(model, found)]
    threads = share_of_cores(sum(device == CPU for _, device in placements), cores())
    shares = _memory_shares(placements, memory)
    seen: Counter[tuple[str, str]] = Counter()
    specs = []
    for (model, device), share in zip(placements, shares, strict=True):
        settings, variables = _settings(root, model, device, threads)
        number = seen[str(model.id), device]
        specs.append(WorkerSpec(number, device, settings, variables, root.logging, root.tracing, share))
        seen[str(model.id), device] += 1
    return specs


def worker_plan(spec: WorkerSpec, name: str, runtime: Path) -> Plan:
    """The process of a worker, with its socket in the folder `runtime`."""
    address = f"unix:{runtime / f'{name}.sock'}"
    settings = spec.settings.model_copy(update={"listen": address, "memory_gb": spec.memory_gb})
    return Plan(
        name=name,
        role="worker",
        address=address,
        command=_python("worker", settings, spec.logging, spec.tracing),
        environment={**child_environment(), **spec.variables},
        description=f"{name}: {spec.model} from {spec.settings.model} on device {spec.device}",
        model=spec.model,
        device=spec.device,
    )


def router_plan(root: LauncherRoot, name: str, doors: Doors, workers: Sequence[str], runtime: Path) -> Plan:
    """The process of the router in front of the workers at these addresses."""
    settings = root.router.model_copy(
        update={
            "port": doors.main.port,
            "workers": (*workers, *external_addresses(root)),
            "drain_seconds": root.drain_seconds,
            "chat_templates": root.chat_templates,
        }
    )
    sockets, probe_sockets = _numbers(doors.main), _numbers(doors.probes)
    return Plan(
        name=name,
        role="router",
        address=doors.url,
        command=_python("router", settings, root.logging, root.tracing),
        environment={
            **child_environment(),
            **environment_for("router", root.router),
            SOCKETS: ",".join(map(str, sockets)),
            PROBE_SOCKETS: ",".join(map(str, probe_sockets)),
            CONTROL: str(runtime / f"{name}.sock"),
            STATUS: str(runtime / STATUS_SOCKET),
        },
        description=f"{name} on {doors.url}",
        sockets=(*sockets, *probe_sockets),
        reads=contents(root.files),
    )


def external_addresses(root: LauncherRoot) -> Iterator[str]:
    """Of the workers that somebody else starts."""
    return (address for model in root.models for address in model.addresses)


def child_environment() -> dict[str, str]:
    """What every child inherits."""
    return without_secrets(LauncherRoot, os.environ)


def _devices(model: LaunchedModel, found: Sequence[str]) -> Iterator[str]:
    for device in model.devices if model.path else ():
        yield from found if device == AUTO else (device,)


def _memory_shares(
    placements: Sequence[tuple[LaunchedModel, str]], memory: Mapping[str, int]
) -> Sequence[float | None]:
    """Return what each worker may take of its device, in gigabytes; none for one that has a device to itself.

    Nor where a model beside others is still on the hub: a share by guess could refuse what fits.
    """
    places = [FIRST_GPU if device == "cuda" else device for _, device in placements]
    shares = [model.memory_gb for model, _ in placements]
    for device, there_is in memory.items():
        here = [index for index, place in enumerate(places) if place == device]
        open_ones = [index for index in here if shares[index] is None]
        left = there_is - sum(round((shares[index] or 0) * GB) for index in here)
        if len(here) > 1 and left > 0:
            sizes = [size_of_weights(str(placements[index][0].path)) for index in open_ones]
            if None in sizes and len({placements[index][0].path for index in open_ones}) > 1:
                continue
            known = [size or 0 for size in sizes]
            for index, share in zip(open_ones, shares_of_memory(known, left), strict=True):
                shares[index] = share / GB
    return shares


def _settings(
    root: LauncherRoot, model: LaunchedModel, device: str, threads: int | None
) -> tuple[WorkerSettings, Mapping[str, str]]:
    seen_as, variables = only(device, os.environ)
    settings = WorkerSettings(
        model=str(model.path),
        id=model.id,
        device=seen_as,
        cpu_threads=threads if device == CPU else None,
        grace_seconds=root.launcher.grace_seconds,
        **{name: getattr(model, name) for name in EngineSettings.model_fields},
    )
    return settings, variables


def _numbers(door: Door | None) -> tuple[int, ...]:
    return tuple(each.fileno() for each in door.sockets) if door else ()


def _python(module: str, *sections: Any) -> list[str]:
    return [sys.executable, "-m", module, *(argument for section in sections for argument in arguments_for(section))]
