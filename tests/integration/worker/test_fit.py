"""A real worker with so much memory as one layer less needs: it refuses one model and serves the other."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from testing.folders import GOLDEN
from textdiffusion.settings import WorkerSettings
from worker.fit import estimate
from worker.models.llada import LLADA
from worker.models.transformer import Transformer

LAYERS = 3
# A layer of 50 MB: more than a process that has just started differs in from one time to the next.
SHAPE = {"d_model": 1024, "n_heads": 8, "n_kv_heads": 8, "mlp_hidden_size": 2752, "max_sequence_length": 64}
SETTINGS = ("--device=cpu", "--dtype=float32", "--kv-cache-positions=64", "--max-step-rows=64", "--listen=127.0.0.1:0")
DEADLINE_SECONDS = 240


def network(layers: int) -> Transformer:
    config = json.loads((GOLDEN / "config.json").read_text()) | SHAPE | {"n_layers": layers}
    with torch.device("meta"):
        return Transformer(LLADA.parse(config))


def total(layers: int) -> int:
    settings = WorkerSettings(model="m", kv_cache_positions=64, max_step_rows=64)
    return estimate(settings, network(layers), {}, torch.device("cpu"), torch.float32).total


def write_model(folder: Path, layers: int) -> Path:
    folder.mkdir()
    config = json.loads((GOLDEN / "config.json").read_text()) | SHAPE | {"n_layers": layers}
    (folder / "config.json").write_text(json.dumps(config))
    model = network(layers)
    shapes, names = model.state_dict(), LLADA.weight_names(model.config)
    weights = {name: torch.zeros(shapes[own].shape, dtype=torch.bfloat16) for name, own in names.items()}
    save_file(weights, folder / "model.safetensors")
    return folder


def worker(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "worker", f"--model={folder}", *SETTINGS, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def left_without_bound(folder: Path) -> tuple[float, float]:
    """What a worker says that it needs, and what it has, under a bound of 2 GB, in gigabytes."""
    output, _ = worker(folder, "--check", "--memory-gb=2").communicate(timeout=DEADLINE_SECONDS)
    found = re.search(r"fits: it needs ([\d.]+) GB .* cpu has ([\d.]+) GB left", output)
    assert found, output
    return float(found[1]), float(found[2])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return write_model(folder / "fits", LAYERS), write_model(folder / "too-large", LAYERS + 1)


def test_a_checkpoint_that_is_too_large_by_one_layer_is_refused_and_the_one_without_it_serves(
    models: tuple[Path, Path],
) -> None:
    fits, too_large = models
    needed, left = left_without_bound(fits)
    assert needed == pytest.approx(total(LAYERS) / 1e9, abs=0.006)
    # What a process has taken by then counts; the bound lies half a layer above what the smaller model needs.
    bound = 2 - left + needed + (total(LAYERS + 1) - total(LAYERS)) / 2e9
    refused = worker(too_large, f"--memory-gb={bound}")
    output, _ = refused.communicate(timeout=DEADLINE_SECONDS)
    assert refused.returncode == 1
    numbers = re.search(
        r"error: \S+: does not fit: it needs ([\d.]+) GB .* in float32; cpu has ([\d.]+) GB left", output
    )
    assert numbers, output
    assert float(numbers[1]) == pytest.approx(total(LAYERS + 1) / 1e9, abs=0.006)
    assert total(LAYERS) / 1e9 < float(numbers[2]) < float(numbers[1])
    assert "Traceback" not in output
    serving = worker(fits, f"--memory-gb={bound}")
    assert serving.stdout
    try:
        said = []
        for line in serving.stdout:
            said.append(line)
            if "serving" in line:
                break
        assert "serving" in said[-1], said
    finally:
        serving.kill()
        serving.communicate()


def test_check_says_it_too_and_exits_with_1(models: tuple[Path, Path]) -> None:
    process = worker(models[1], "--check", "--memory-gb=0.2")
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert "does not fit: it needs " in output.splitlines()[-1]
    assert "a memory_gb above 0.2" in output
