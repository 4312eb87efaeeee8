"""From a checkpoint to a network ready to run, whatever its architecture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from textdiffusion.fingerprint import weights_fingerprint
from worker.device import apart, use
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.llada import WEIGHT_PREFIX, Llada, LladaConfig, UnsupportedModelError

MASK_TOKEN = "<|mdm_mask|>"  # noqa: S105 - a token of text
END_OF_TURN_TOKEN = "<|eot_id|>"  # noqa: S105 - a token of text
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHOWN_NAMES = 5
FIRST_GPUS_WITH_BFLOAT16 = (8, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A network on its device, and the token ids that decoding has to know."""

    network: Llada
    model_type: str
    device: torch.device
    dtype: torch.dtype
    vocab_size: int
    max_sequence_length: int
    mask_token_id: int
    eos_token_ids: tuple[int, ...]
    parameters: int
    fingerprint: str


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU, else the CPU. Raises `CheckpointError` for a device that is not there."""
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise CheckpointError(f"device {name}: this machine has no GPU that torch can use")
        if (device.index or 0) >= torch.cuda.device_count():
            raise CheckpointError(f"device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the device multiplies it natively, else float32."""
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= FIRST_GPUS_WITH_BFLOAT16
    else:
        native = _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def load_model(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """Reads config and weights. Raises `CheckpointError` naming the file, key or tensor that is wrong."""
    return apart(_load, checkpoint, device, dtype)


def _load(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    use(device)
    config = checkpoint.read_json("config.json", required=True)
    model_type = config.get("model_type")
    if model_type != "llada":
        raise CheckpointError(f"{checkpoint.source}: config.json: model_type is {model_type!r}; 'llada' is supported")
    try:
        parsed = LladaConfig.parse(config)
    except UnsupportedModelError as error:
        raise CheckpointError(f"{checkpoint.source}: {error}") from error
    with torch.device("meta"):
        network = Llada(parsed)
    try:
        _load_weights(network, checkpoint, device, dtype)
        parameters = sum(weight.numel() for weight in network.parameters())
        network.eval().requires_grad_(False).pack()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise CheckpointError(f"{checkpoint.source}: does not fit into the memory of {device}") from error
    return LoadedModel(
        network=network,
        model_type=model_type,
        device=device,
        dtype=dtype,
        vocab_size=parsed.vocab_size,
        max_sequence_length=parsed.max_sequence_length,
        mask_token_id=_mask_token_id(checkpoint, config, parsed.vocab_size),
        eos_token_ids=_eos_token_ids(checkpoint, config, parsed.vocab_size),
        parameters=parameters,
        fingerprint=weights_fingerprint(
            checkpoint.folder / "config.json", checkpoint.weight_files(), str(dtype).removeprefix("torch.")
        ),
    )


def _load_weights(network: Llada, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    expected = {WEIGHT_PREFIX + name: weight.shape for name, weight in network.state_dict().items()}
    found: dict[str, torch.Tensor] = {}
    problems = []
    for name, tensor in checkpoint.tensors(device):
        if name not in expected:
            problems.append(f"{name} is not part of this architecture")
        elif tensor.shape != expected[name]:
            problems.append(f"{name} has shape {list(tensor.shape)}, not {list(expected[name])}")
        else:
            found[name.removeprefix(WEIGHT_PREFIX)] = tensor.to(dtype)
    absent = [name for name in expected if name.removeprefix(WEIGHT_PREFIX) not in found]
    problems += [f"{name} is missing" for name in absent if not any(line.startswith(f"{name} ") for line in problems)]
    if problems:
        more = f" and {len(problems) - _SHOWN_NAMES} more" if len(problems) > _SHOWN_NAMES else ""
        raise CheckpointError(f"{checkpoint.source}: wrong tensors: {'; '.join(problems[:_SHOWN_NAMES])}{more}")
    network.load_state_dict(found, assign=True)


def _mask_token_id(checkpoint: Checkpoint, config: Mapping[str, Any], vocab_size: int) -> int:
    mask = config.get("mask_token_id")
    if mask is None:
        mask = checkpoint.token_id(MASK_TOKEN)
    if not isinstance(mask, int) or not 0 <= mask < vocab_size:
        raise CheckpointError(f"{checkpoint.source}: config.json: mask_token_id is {mask!r}, not a token id")
    return mask


def _eos_token_ids(checkpoint: Checkpoint, config: Mapping[str, Any], vocab_size: int) -> tuple[int, ...]:
    """The config's end tokens, and the end of a turn, with which instruction-tuned models close a reply."""
    configured = config.get("eos_token_id")
    ids = configured if isinstance(configured, list) else [configured]
    ids = [token for token in (*ids, checkpoint.token_id(END_OF_TURN_TOKEN)) if token is not None]
    for token in ids:
        if not isinstance(token, int) or not 0 <= token < vocab_size:
            raise CheckpointError(f"{checkpoint.source}: config.json: eos_token_id is {token!r}, not a token id")
    return tuple(sorted(set(ids)))


def _cpu_has_bfloat16() -> bool:
    return any(
        probe()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if (probe := getattr(torch.cpu, name, None)) is not None
    )
