"""What a worker can say about the device that it runs on."""

import platform
from pathlib import Path

import psutil
import torch


def describe(device: torch.device) -> str:
    """The name of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory(device: torch.device) -> tuple[int, int]:
    """Bytes used and bytes there: of the GPU, or of this process and the machine on a CPU."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free, total
    return psutil.Process().memory_info().rss, psutil.virtual_memory().total


def free_memory(device: torch.device) -> int:
    """Bytes of the device that can still be had."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
