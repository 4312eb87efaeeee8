"""The device that a worker runs on: what can be said about it, and how to compute without disturbing others."""

import ctypes
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from textdiffusion.memory import GB, available_memory

_Result = TypeVar("_Result")

# Of glibc's malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD in bytes, M_ARENA_MAX.
_MALLOC_OPTIONS = {-1: 1 << 30, -2: 1 << 26, -3: 1 << 30, -8: 1}


def describe(device: torch.device) -> str:
    """The name of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_usage(device: torch.device) -> tuple[int, int]:
    """Bytes used and bytes there: of the GPU (0 if it does not answer), or of this process and the machine on a CPU."""
    if device.type == "cuda":
        try:
            free, total = torch.cuda.mem_get_info(device)
        except RuntimeError:  # the device is broken
            return 0, 0
        return total - free, total
    return psutil.Process().memory_info().rss, psutil.virtual_memory().total


def free_memory(device: torch.device, share_gb: float | None = None) -> int:
    """Return the bytes of the device that can still be had, of this process's share of it if it has one."""
    if device.type == "cuda":
        free, taken = torch.cuda.mem_get_info(device)[0], torch.cuda.memory_reserved(device)
    else:
        own = psutil.Process().memory_info()
        free, taken = available_memory(), own.rss - getattr(own, "shared", 0)  # which not every system counts
    return free if share_gb is None else max(0, min(free, round(share_gb * GB) - taken))


def set_current_device(device: torch.device) -> None:
    """Make `device` what this thread's CUDA streams and graphs belong to."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def sum_in_float32(device: torch.device) -> None:
    """Have a GPU add up its products in float32 throughout, for the whole process.

    By default cuBLAS may add up parts of a sum in 16 bits, in numbers that depend on how many rows there are: then a
    request would depend on its neighbours.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def keep_freed_memory() -> None:
    """Has the C library keep what is freed for the next allocation, on Linux.

    Left alone it gives large blocks back to the system at once, and every step takes thousands of page faults to get
    them again. For the whole process.
    """
    if sys.platform == "linux":
        # Only glibc has it.
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)
        for parameter, value in _MALLOC_OPTIONS.items():
            mallopt(parameter, value)


def run_in_short_lived_thread(compute: Callable[..., _Result], *arguments: object) -> _Result:
    """Computes in a thread that ends; for all that is not the engine's.

    OpenMP keeps a team of threads for every thread that has computed. Where the teams together are more than there are
    cores, they go to sleep after every operation, and the engine's steps take up to half as long again.
    """
    with ThreadPoolExecutor(1) as short_lived:
        return short_lived.submit(compute, *arguments).result()
