from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from testing.folders import GOLDEN
from textdiffusion.settings import WorkerSettings
from worker.fit import Fit, Need, check_fit, estimate, positions_to_hold
from worker.kvcache.arena import KVCacheSpec
from worker.models.checkpoint import Checkpoint, CheckpointError, StoredTensor
from worker.models.llada import LladaConfig
from worker.models.spec import ModelSpec
from worker.models.transformer import Transformer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LLADA_8B: Mapping[str, Any] = {
    "d_model": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 32,
    "mlp_hidden_size": 12288,
    "vocab_size": 126464,
    "embedding_size": 126464,
    "max_sequence_length": 4096,
}
POSITION_8B = 2 * 32 * 4096 * 2
SPEC_8B = ModelSpec(
    family="llada",
    model_type="llada",
    kv=KVCacheSpec(layers=32, kv_heads=32, head_dim=128),
    num_heads=32,
    vocab_size=126464,
    padded_vocab_size=126464,
    max_positions=4096,
    mask_token_id=126336,
)


def need(
    *, device: torch.device = CUDA, tied: bool = False, dtype: torch.dtype = torch.bfloat16, **settings: Any
) -> Need:
    with torch.device("meta"):
        network = Transformer(LladaConfig(**LLADA_8B, weight_tying=tied).transformer)
    return estimate(WorkerSettings(model="m", **settings), network, {}, device, dtype)


def test_llada_8b_takes_the_16_gb_that_are_known_of_it_twice_that_in_float32() -> None:
    assert need().weights == pytest.approx(16.03e9, rel=0.01)
    assert need(dtype=torch.float32).weights == 2 * need().weights


def test_keys_and_values_are_those_of_one_canvas_or_of_what_is_set() -> None:
    assert (need().positions, need().keys_and_values) == (4096, 4097 * POSITION_8B)
    assert need(kv_cache_positions=100).keys_and_values == 101 * POSITION_8B


def test_a_step_takes_less_with_fewer_rows_but_no_less_than_a_canvas() -> None:
    assert need(max_step_rows=8192).step > need(max_step_rows=4096).step == need(max_step_rows=1).step
    assert need(max_step_rows=4096, kv_cache_positions=64).step < need(max_step_rows=1).step


def test_a_tied_matrix_is_held_twice_where_weights_are_reordered() -> None:
    head = 126464 * 4096
    assert need(device=CPU, tied=True, dtype=torch.float32).weights == need(device=CPU, dtype=torch.float32).weights
    assert need(tied=True).weights == need().weights - 2 * head


def test_on_a_gpu_the_largest_stored_tensor_is_there_beside_the_weights() -> None:
    with torch.device("meta"):
        network = Transformer(LladaConfig(**LLADA_8B).transformer)
    stored = {"x": StoredTensor((126464, 4096), "F32")}
    assert estimate(WorkerSettings(model="m"), network, stored, CUDA, torch.bfloat16).loading == 126464 * 4096 * 4


@pytest.mark.parametrize(
    ("dtype", "size"), [("F32", 4), ("BF16", 2), ("F64", 8), ("I8", 1), ("F8_E4M3", 1), ("BOOL", 1)]
)
def test_a_stored_tensor_takes_what_its_dtype_says(dtype: str, size: int) -> None:
    assert StoredTensor((3, 5), dtype).bytes == 15 * size


def test_loading_and_running_are_not_added_up() -> None:
    parts = {"weights": 10, "positions": 1, "keys_and_values": 2}
    assert Need(loading=9, step=3, **parts).total == 19
    assert Need(loading=4, step=3, **parts).total == 15


@pytest.fixture
def golden() -> Checkpoint:
    return Checkpoint.find(str(GOLDEN))


def memory_of(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("worker.fit.free_memory", lambda *_: size)


def settings(**given: Any) -> WorkerSettings:
    return WorkerSettings(model=str(GOLDEN), device="cpu", dtype="float32", **given)


def test_what_fits_to_the_byte_is_taken_and_one_byte_less_is_refused(
    golden: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_of(monkeypatch, 1 << 40)
    total = check_fit(settings(), golden).need.total
    memory_of(monkeypatch, total)
    assert check_fit(settings(), golden).free == total
    memory_of(monkeypatch, total - 1)
    with pytest.raises(
        CheckpointError, match=r"does not fit: it needs .* GB \(weights .* in float32; cpu has .* GB left"
    ):
        check_fit(settings(), golden)


def test_a_refusal_says_what_would_help(golden: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(size: int, **given: Any) -> str:
        memory_of(monkeypatch, size)
        with pytest.raises(CheckpointError) as refused:
            check_fit(settings(**given), golden)
        return str(refused.value).partition("What helps: ")[2]

    memory_of(monkeypatch, 1 << 40)
    fit = check_fit(settings(kv_cache_positions=1_000_000), golden).need
    assert refusal(1) == "dtype bfloat16, a device or a container with more memory"
    assert "a kv_cache_positions below 1000000" in refusal(fit.total - 1, kv_cache_positions=1_000_000)
    assert "(with 1024 it fits)" in refusal(fit.step, kv_cache_positions=1_000_000)
    assert "a max_step_rows below 90000" in refusal(fit.total, max_step_rows=90_000)
    assert "a memory_gb above 2" in refusal(1, memory_gb=2)


def fit_of(free: int) -> Fit:
    parts = Need(weights=1000, loading=0, positions=4096, keys_and_values=4097 * POSITION_8B, step=1 << 30)
    return Fit(need=parts, free=free, device=CPU, dtype=torch.bfloat16, max_sequence_length=4096)


def test_the_cache_gets_half_of_what_is_left_but_room_for_a_canvas_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_of(monkeypatch, 1 << 50)
    room = 20_000 * POSITION_8B
    assert positions_to_hold(settings(), SPEC_8B, fit_of(room + 1000 + (1 << 30))) == 10_000
    assert positions_to_hold(settings(), SPEC_8B, fit_of(0)) == 4096
    assert positions_to_hold(settings(), SPEC_8B, fit_of(1 << 50)) == 16 * 4096
    assert positions_to_hold(settings(kv_cache_positions=7), SPEC_8B, fit_of(1 << 50)) == 7


def test_what_others_took_while_the_model_was_loaded_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_of(monkeypatch, 12_000 * POSITION_8B + (1 << 30))
    assert positions_to_hold(settings(), SPEC_8B, fit_of(1 << 50)) == 6_000


def test_wrong_tensors_are_named_before_memory_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        (GOLDEN / "config.json").read_text().replace('"n_layers": 2', '"n_layers": 3')
    )
    (tmp_path / "model.safetensors").symlink_to(GOLDEN / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"blocks\.2\.\S+ is missing"):
        check_fit(settings(), Checkpoint.find(str(tmp_path)))
