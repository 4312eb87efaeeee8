"""`python -m benchmarks`, or `just bench`: measures the engine, the stack over HTTP, and what settings cost."""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import plots, quality, report, speed, steps
from benchmarks.random_model import random_model, write_random_checkpoint
from benchmarks.shapes import SHAPES, Rule, Shape
from testing.folders import DEMO, FIGURES
from textdiffusion.logs import configure_logging
from textdiffusion.settings import LoggingSettings
from worker.device import run_in_short_lived_thread, set_current_device
from worker.models.checkpoint import Checkpoint
from worker.models.loading import choose_device, choose_dtype, load_model
from worker.sampling_params import CacheMode

THRESHOLD = Rule("threshold", 0.9)
# A model too large to be written to a disk for this is only timed step by step.
PARTS = {"demo": ("speed", "quality"), "llada-8b": ("steps",)}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    configure_logging(LoggingSettings(log_level="warning"), "bench")  # standard output has the table alone
    shapes = [SHAPES[name] for name in arguments.shape or ("demo", "llada-60m")]
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.dtype, device)

    def with_part(part: str) -> list[Shape]:
        wanted = [arguments.only] if arguments.only else []
        return [one for one in shapes if part in (wanted or PARTS.get(one.name, ("speed",)))]

    if chosen := with_part("speed"):
        _speed(chosen, device, dtype, arguments)
    if chosen := with_part("steps"):
        _steps(chosen, device, dtype, arguments)
    if chosen := with_part("quality"):
        _quality(chosen[0], device, dtype, arguments)


def _speed(shapes: Sequence[Shape], device: torch.device, dtype: torch.dtype, arguments: argparse.Namespace) -> None:
    cells = []
    print(report.SPEED.head, flush=True)
    for shape in shapes:
        plan = speed.Plan(
            concurrent=arguments.concurrent,
            caches=arguments.cache,
            rules=(shape.fixed_schedule, THRESHOLD),
            rounds=arguments.rounds,
            over_http=not arguments.skip_http,
            with_oracle=not arguments.skip_oracle and device.type == "cpu",
        )
        with tempfile.TemporaryDirectory() as temporary:
            folder = DEMO
            if shape.network:
                folder = run_in_short_lived_thread(write_random_checkpoint, shape.network, Path(temporary) / shape.name)
            for cell in speed.measure(shape, folder, device, dtype, plan):
                print(report.SPEED.line(cell), flush=True)
                cells.append(cell)
        plots.speed(arguments.out / f"speed-{shape.name}.png", [cell for cell in cells if cell.shape == shape.name])
    report.write(arguments.out / "speed.json", device, cells=[cell.record() for cell in cells])


def _steps(shapes: Sequence[Shape], device: torch.device, dtype: torch.dtype, arguments: argparse.Namespace) -> None:
    rows = []
    set_current_device(device)
    peaks = steps.peaks_of(device, dtype)
    print(f"{peaks.bandwidth / 1e9:.0f} GB/s copied, {peaks.matrix_rate / 1e12:.2f} TFLOP/s\n\n{report.STEPS.head}")
    for shape in shapes:
        if shape.network:
            model = random_model(shape.network, device, dtype)
        else:
            model = load_model(Checkpoint.find(str(DEMO)), device, dtype)
        for concurrent in arguments.concurrent:
            for step in steps.measure(shape, model, concurrent, peaks):
                print(report.STEPS.line(step), flush=True)
                rows.append(step)
    report.write(arguments.out / "steps.json", device, peaks=asdict(peaks), steps=[step.record() for step in rows])


def _quality(shape: Shape, device: torch.device, dtype: torch.dtype, arguments: argparse.Namespace) -> None:
    points = []
    print(report.QUALITY.head, flush=True)
    grid = {"caches": arguments.cache, "rules": quality.RULES, "conversations": arguments.conversations}
    for point in quality.measure(shape, device, dtype, **grid):
        print(report.QUALITY.line(point), flush=True)
        points.append(point)
    plots.quality(arguments.out / "quality.png", points)
    report.write(arguments.out / "quality.json", device, points=[asdict(point) for point in points])


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
