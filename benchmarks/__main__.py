"""`python -m benchmarks`, or `just bench`: measures the engine, the stack over HTTP, and what settings cost."""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import quality, speed, steps
from benchmarks.shapes import SHAPES, Shape
from testing.folders import DEMO, FIGURES
from testing.random_model import random_model, write_random_checkpoint
from testing.report import write_record
from textdiffusion.logs import configure_logging
from textdiffusion.settings import LoggingSettings
from worker.device import describe, run_in_short_lived_thread, set_current_device
from worker.models.checkpoint import Checkpoint
from worker.models.loading import choose_device, choose_dtype, load_model
from worker.sampling_params import CacheMode


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    configure_logging(LoggingSettings(log_level="warning"), "bench")  # standard output has the table alone
    shapes = [SHAPES[name] for name in arguments.shape or ("demo", "llada-60m")]
    device = choose_device(arguments.device)
    if arguments.only in (None, "speed"):
        _measure_speed(shapes, device, arguments)
    if arguments.only == "steps":
        _measure_steps(shapes, device, arguments)
    if arguments.only in (None, "quality") and SHAPES["demo"] in shapes:
        _measure_quality(device, arguments)


def _measure_speed(shapes: Sequence[Shape], device: torch.device, arguments: argparse.Namespace) -> None:
    records = []
    print(speed.SPEED.head, flush=True)
    for shape in shapes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = DEMO
            if shape.network:
                folder = run_in_short_lived_thread(write_random_checkpoint, shape.network, Path(temporary) / shape.name)
            cells = []
            for cell in speed.measure(shape, folder, device, choose_dtype(arguments.dtype, device), arguments):
                print(speed.SPEED.line(cell), flush=True)
                cells.append(cell)
        speed.draw(arguments.out / f"speed-{shape.name}.png", cells)
        records += [asdict(cell) | cell.ratios for cell in cells]
    _write(arguments.out / "speed.json", arguments, device, cells=records)


def _measure_steps(shapes: Sequence[Shape], device: torch.device, arguments: argparse.Namespace) -> None:
    records, dtype = [], choose_dtype(arguments.dtype, device)
    set_current_device(device)
    peaks = steps.peaks_of(device, dtype)
    print(f"{peaks.bandwidth / 1e9:.0f} GB/s copied, {peaks.matrix_rate / 1e12:.2f} TFLOP/s\n\n{steps.STEPS.head}")
    for shape in shapes:
        if shape.network:
            model = random_model(shape.network, device, dtype)
        else:
            model = load_model(Checkpoint.find(str(DEMO)), device, dtype)
        for concurrent in arguments.concurrent:
            for step in steps.measure(shape, model, concurrent, peaks):
                print(steps.STEPS.line(step), flush=True)
                records.append(step.record())
    _write(arguments.out / "steps.json", arguments, device, peaks=asdict(peaks), steps=records)


def _measure_quality(device: torch.device, arguments: argparse.Namespace) -> None:
    points = []
    print(quality.QUALITY.head, flush=True)
    for point in quality.measure(device, arguments.dtype, arguments.cache, arguments.conversations):
        print(quality.QUALITY.line(point), flush=True)
        points.append(point)
    quality.draw(arguments.out / "quality.png", points)
    _write(arguments.out / "quality.json", arguments, device, points=points)


def _write(file: Path, arguments: argparse.Namespace, device: torch.device, **measured: Any) -> None:
    about: dict[str, Any] = {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    write_record(file, arguments, machine=describe(device), **measured, **about)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="just bench", description="Measures how fast requests are served, and what speed costs in accuracy."
    )
    parser.add_argument("--shape", choices=SHAPES, action="append", help="only this one; may be given again")
    parser.add_argument("--only", choices=("speed", "steps", "quality"), help="only this part")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0, …")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--concurrent", type=_numbers, default=(1, 4, 16), help="requests at once: 1,4,16")
    parser.add_argument("--cache", type=_caches, default=tuple(CacheMode), help="none,prefix,dual")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken at least")
    parser.add_argument("--conversations", type=int, default=20, help="per task of the demo model")
    parser.add_argument("--skip-http", action="store_true")
    parser.add_argument("--skip-oracle", action="store_true")
    parser.add_argument("--out", type=Path, default=FIGURES, help="the folder for JSON files and plots")
    return parser.parse_args(argv)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _caches(text: str) -> tuple[CacheMode, ...]:
    return tuple(CacheMode(name) for name in text.split(","))


if __name__ == "__main__":
    main()
