import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from testing.folders import GOLDEN
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.loading import choose_device, choose_dtype, load_model
from worker.models.spec import LoadedModel
from worker.models.tokens import Vocabulary

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the golden checkpoint to break."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(GOLDEN / name, tmp_path / name)
    return tmp_path


def load(folder: Path) -> LoadedModel:
    return load_model(Checkpoint.find(str(folder)), CPU, torch.float32)


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_sharded_checkpoint_is_the_same_model(folder: Path, golden_model: LoadedModel) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(sorted(tensors))}
    for shard in set(shards.values()):
        save_file({name: tensors[name] for name in tensors if shards[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    weights, reference = load(folder).network.state_dict(), golden_model.network.state_dict()
    assert all(torch.equal(weights[name], reference[name]) for name in reference)


def test_torch_s_compiler_is_not_imported_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take longer than all the rest of a worker's start."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    assert load(folder)


@pytest.mark.parametrize("weight_map", [None, [], {"a": 1}])
def test_an_index_that_names_no_files_is_refused(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(folder)


@pytest.mark.parametrize("added", [None, ["x"], [{"content": "<|eot_id|>"}], [{"content": "<|eot_id|>", "id": "x"}]])
def test_a_tokenizer_without_a_usable_end_of_turn_leaves_the_config_s_end_tokens(folder: Path, added: object) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    assert load(folder).spec.eos_token_ids == (304,)


def test_a_mask_that_the_config_lacks_is_the_tokenizer_s(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"id": 305, "content": "<|mdm_mask|>"}]}))
    edit_config(folder, mask_token_id=None)
    assert load(folder).spec.mask_token_id == 305


def test_end_tokens_are_the_config_s_and_the_tokenizer_s_end_of_turn(folder: Path) -> None:
    added = [{"id": 306, "content": "<|eot_id|>"}, {"id": 305, "content": "<|mdm_mask|>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    assert load(folder).spec.eos_token_ids == (304, 306)


def test_other_weights_have_another_fingerprint_and_the_same_have_the_same(folder: Path) -> None:
    first = load(folder).fingerprint
    assert load(folder).fingerprint == first
    tensors = load_file(folder / "model.safetensors")
    tensors["model.transformer.ln_f.weight"][0] += 1
    save_file(tensors, folder / "model.safetensors")
    assert load(folder).fingerprint != first


def test_a_missing_tensor_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.transformer.blocks.1.q_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.transformer\.blocks\.1\.q_proj\.weight is missing"):
        load(folder)


def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    edit_config(folder, mlp_hidden_size=177)
    with pytest.raises(CheckpointError, match=r"ff_out\.weight has shape \[64, 176\], not \[64, 177\]"):
        load(folder)


def test_a_tensor_that_does_not_belong_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"extra.bias": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"extra\.bias is not part of this architecture"):
        load(folder)


@pytest.mark.parametrize("name", ["rotary_emb.inv_freq", "model.transformer.blocks.0.rotary_emb.inv_freq"])
def test_a_rotary_buffer_is_skipped_with_a_line_for_whoever_debugs(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {name: torch.ones(8)}, folder / "model.safetensors")
    with capture_logs() as logs:
        assert load(folder)
    assert [line["tensors"] for line in logs if line["log_level"] == "debug"] == [[name]]


@pytest.mark.parametrize("name", ["model.transformer.ff_out.weight", "lm_head.weight"])
@pytest.mark.parametrize("tied", [True, False])
def test_an_output_matrix_that_is_saved_again_is_skipped_if_it_is_equal_and_refused_if_not(
    folder: Path, name: str, *, tied: bool
) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit_config(folder, weight_tying=tied)
    head = tensors.pop("model.transformer.ff_out.weight")
    kept = {} if tied else {"model.transformer.ff_out.weight": head}
    own = tensors["model.transformer.wte.weight"] if tied else head
    save_file(tensors | kept | {name: own.clone()}, folder / "model.safetensors")
    assert load(folder)
    if tied or name == "lm_head.weight":
        save_file(tensors | kept | {name: own + 1}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=rf"{name} is not equal to model\.transformer"):
            load(folder)


def test_a_head_of_another_shape_is_refused_by_name(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"lm_head.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is not part of this architecture"):
        load(folder)


def test_truncated_weights_are_a_clear_error(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or damaged"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load(folder)


def test_a_config_that_is_not_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is not readable JSON"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "llama"}, "model_type"),
        ({"mask_token_id": 320}, "mask_token_id"),
        ({"mask_token_id": None}, "mask_token_id"),
        ({"vocab_size": 400}, "vocab_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"d_model": None, "mlp_hidden_size": None}, "d_model"),
        ({"eos_token_id": [1, "x"]}, "eos_token_id"),
        ({"alibi": True}, "alibi"),
    ],
)
def test_a_config_that_cannot_be_run_is_refused_by_its_key(
    folder: Path, changes: dict[str, object], named: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=named):
        load(folder)


@pytest.mark.parametrize("source", ["foo bar/baz", "a/b..c"])
def test_a_name_that_nothing_can_have_is_a_clear_error(source: str) -> None:
    with pytest.raises(CheckpointError, match="neither a folder here nor a model on the hub"):
        Checkpoint.find(source)


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        Checkpoint.find("./nowhere")


def test_without_a_network_a_hub_id_is_a_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="the hub cannot be reached"):
        Checkpoint.find("somebody/some-model")


def test_tokens_are_looked_up_in_the_tokenizer_that_is_named(tokenizer_folder: Path, tmp_path: Path) -> None:
    added = json.loads((tokenizer_folder / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    checkpoint = Checkpoint.find(str(tmp_path))
    assert "<|eot_id|>" not in Vocabulary.read(checkpoint).ids
    elsewhere = checkpoint.with_tokenizer(str(tokenizer_folder))
    assert Vocabulary.read(elsewhere).ids["<|eot_id|>"] == ids["<|eot_id|>"]


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"tokenizer: {tmp_path}: tokenizer\.json is missing"):
        Checkpoint.find(str(GOLDEN)).with_tokenizer(str(tmp_path))


def test_a_gpu_without_a_number_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in (("is_available", True), ("device_count", 2), ("current_device", 1)):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    assert choose_device("cuda") == torch.device("cuda:1")


def test_a_gpu_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(CheckpointError, match="device cuda:99"):
        choose_device("cuda:99")


def test_a_dtype_that_is_asked_for_is_taken() -> None:
    assert choose_dtype("float16", CPU) is torch.float16
    assert choose_dtype("auto", CPU) in (torch.float32, torch.bfloat16)
