"""Timing on a device that may still be at work when a call returns."""

import time
from collections.abc import Callable
from statistics import median

import torch

MIN_REPEATS = 3


def now(device: torch.device) -> float:
    """Seconds, once the device has done all that it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(work: Callable[[], object], device: torch.device, least_seconds: float = 0.1) -> float:
    """The median over repeats that take `least_seconds` together, after one that warms up."""
    work()
    taken: list[float] = []
    while len(taken) < MIN_REPEATS or sum(taken) < least_seconds:
        began = now(device)
        work()
        taken.append(now(device) - began)
    return median(taken)
