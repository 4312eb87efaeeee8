"""A checkpoint on the hub is looked at before its weights are fetched; the hub is a server on this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from testing.folders import GOLDEN
from testing.hub import COMMIT, REPOSITORY, Hub, running_hub
from textdiffusion.settings import WorkerSettings
from worker.fit import Fit, check_fit
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.loading import load_model

SETTINGS = WorkerSettings(model=REPOSITORY, device="cpu", dtype="float32")
WEIGHTS = "model.safetensors"
BALLAST = 30_000_000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serves the golden checkpoint."""
    folder = tmp_path / "published"
    folder.mkdir()
    for name in ("config.json", WEIGHTS):
        shutil.copy(GOLDEN / name, folder / name)
    with running_hub(folder, tmp_path / "cache", monkeypatch) as hub:
        yield hub


def checked() -> tuple[Checkpoint, Fit]:
    checkpoint = Checkpoint.find(REPOSITORY)
    return checkpoint, check_fit(SETTINGS, checkpoint)


def make_large(hub: Hub) -> None:
    """A model whose file of weights is much longer than its header."""
    tensors = load_file(hub.folder / WEIGHTS)
    save_file(tensors | {"rotary_emb.inv_freq": torch.zeros(BALLAST // 4)}, hub.folder / WEIGHTS)


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_only_the_header_of_the_weights_is_read_whether_or_not_ranges_are_known(
    hub: Hub, *, knows_ranges: bool
) -> None:
    hub.knows_ranges = knows_ranges
    make_large(hub)
    checkpoint, fit = checked()
    assert fit.need.weights == 4 * 141_632
    assert hub.sent[WEIGHTS] < BALLAST
    assert not (checkpoint.folder / WEIGHTS).exists()
    assert checkpoint.revision == COMMIT


def test_what_does_not_fit_is_refused_before_it_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    make_large(hub)
    monkeypatch.setattr("worker.fit.free_memory", lambda *_: 1000)
    with pytest.raises(CheckpointError, match=rf"{REPOSITORY}: does not fit: it needs .* GB .* cpu has 0\.000 GB left"):
        checked()
    assert hub.sent[WEIGHTS] < BALLAST


def test_tensors_that_are_wrong_are_named_before_they_are_fetched(hub: Hub) -> None:
    save_file({**load_file(hub.folder / WEIGHTS), "extra.bias": torch.zeros(1)}, hub.folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"extra\.bias is not part of this architecture"):
        checked()


def test_what_fits_is_fetched_and_loaded_and_the_next_time_found(hub: Hub) -> None:
    checkpoint, fit = checked()
    assert load_model(checkpoint, fit.device, fit.dtype).parameters == 141_632
    hub.sent.clear()
    hub.hidden.add(WEIGHTS)
    assert load_model(checked()[0], fit.device, fit.dtype)
    assert WEIGHTS not in hub.sent


def test_shards_are_looked_at_one_by_one_and_an_index_that_lies_about_their_size_is_not_believed(hub: Hub) -> None:
    tensors = load_file(hub.folder / WEIGHTS)
    (hub.folder / WEIGHTS).unlink()
    shards = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(sorted(tensors))}
    for shard in set(shards.values()):
        save_file({name: tensors[name] for name in tensors if shards[name] == shard}, hub.folder / shard)
    index = {"metadata": {"total_size": 1}, "weight_map": shards}
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint, fit = checked()
    assert fit.need.weights == 4 * 141_632
    assert load_model(checkpoint, fit.device, fit.dtype)


def test_a_file_of_weights_that_is_missing_there_is_named(hub: Hub) -> None:
    hub.hidden.add(WEIGHTS)
    with pytest.raises(CheckpointError, match=rf"{REPOSITORY}: {WEIGHTS} is missing on the hub"):
        checked()


@pytest.mark.parametrize("cut_after", [4, 100])
def test_a_header_that_is_cut_off_leaves_the_estimate_to_the_config_with_a_warning(hub: Hub, cut_after: int) -> None:
    hub.cut_after = cut_after
    with capture_logs() as logs:
        _, fit = checked()
    assert fit.need.weights == 4 * 141_632
    assert [line["log_level"] for line in logs] == ["warning"]
    assert f"the header of {WEIGHTS} cannot be read" in logs[0]["reason"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b'\x05\0\0\0\0\0\0\0{"a":'])
def test_what_is_not_a_safetensors_file_is_told_and_not_trusted(hub: Hub, content: bytes) -> None:
    (hub.folder / WEIGHTS).write_bytes(content)
    with capture_logs() as logs:
        checked()
    assert "the header of" in logs[0]["reason"]


def test_a_model_that_is_not_there_is_one_sentence(hub: Hub) -> None:
    assert hub
    with pytest.raises(CheckpointError, match="neither a folder here nor a model on the hub"):
        Checkpoint.find("somebody/else")
