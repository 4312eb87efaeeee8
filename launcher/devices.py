"""What `devices = ["auto"]` stands for, which processor a worker gets, and how much of it.

Only the worker's own torch can say which GPUs it can use, and to import that takes seconds. So it is asked only where
the device file of a GPU driver is there.
"""

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Final

from launcher.parent_death import killed_with_this_process
from textdiffusion.memory import GB, available_memory

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
DRIVERS: Final = ("nvidiactl", "nvidia0", "kfd", "dxg")  # of NVIDIA's, of AMD's, and of Windows' in a Linux guest
CPU: Final = "cpu"
FIRST_GPU: Final = "cuda:0"
FIND_SECONDS: Final = 120.0
# How often a thread of OpenMP looks whether the others are there before it goes to sleep: often enough for those of a
# step to meet, and not so often that it takes the cores from them as soon as anybody else computes too.
SPINNING: Final = {"GOMP_SPINCOUNT": "2000"}
SPINNING_IS_CHOSEN: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
# What a worker takes whatever the size of its model, when memory is shared out: libraries, a small cache, a step.
BASE_BYTES: Final = 2 * GB
NUMBERED: Final = re.compile(r"cuda(?::(\d+))?")


async def find_devices(folder: Path = Path("/dev")) -> Mapping[str, int | None]:
    """Return every GPU that a worker can use, or else the CPU, and the bytes of memory that it has left if known."""
    on_cpu = {CPU: available_memory()}
    if not any((folder / driver).exists() for driver in DRIVERS):
        return on_cpu
    command = killed_with_this_process(sys.executable, "-m", "worker.devices", "--memory")
    asked = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
    try:
        answer, _ = await asyncio.wait_for(asked.communicate(), FIND_SECONDS)
    except TimeoutError:
        return on_cpu
    finally:
        if asked.returncode is None:
            asked.kill()
            await asked.wait()
    lines = (line.partition(" ") for line in answer.decode().splitlines())
    found = {name: int(free) if free.isdecimal() else None for name, _, free in lines if name and name != CPU}
    return found or on_cpu


def only(device: str, environment: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """What a worker for `device` has to call it, and the environment variables that it gets.

    It sees no other GPU: a process that sees one takes some of its memory, used or not. GPUs that are hidden from this
    process stay hidden from it. On the CPU the variables say how its threads wait for one another, unless that is
    chosen already.
    """
    if device == CPU:
        return device, {} if any(name in environment for name in SPINNING_IS_CHOSEN) else SPINNING
    numbered = NUMBERED.fullmatch(device)
    if not numbered:
        return device, {}
    number = int(numbered[1] or 0)
    if VISIBLE not in environment:
        return "cuda:0", {VISIBLE: str(number)}
    visible = [name.strip() for name in environment[VISIBLE].split(",") if name.strip()]
    if number < len(visible):
        return "cuda:0", {VISIBLE: visible[number]}
    return device, {}  # the worker says that it is not there


def size_of_weights(path: str) -> int | None:
    """Return the bytes of the weights in a folder; none if they are still on the hub."""
    folder = Path(path).expanduser()
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else None


def shares_of_memory(sizes: Sequence[int], there_is: int) -> Sequence[int]:
    """Return the bytes that each worker on a device gets of what there is, by the sizes of their models."""
    weights = [BASE_BYTES + size for size in sizes]
    return [there_is * weight // sum(weights) for weight in weights]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores(workers: int, there_are: int) -> int | None:
    """How many threads each of so many workers on this CPU gets; none if it is alone, and its libraries choose."""
    return max(1, there_are // workers) if workers > 1 else None
