"""From a checkpoint to a network ready to run, whatever its architecture."""

import torch

from textdiffusion.fingerprint import weights_fingerprint
from worker.device import run_in_short_lived_thread, set_current_device
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.outline import Outline, read_spec
from worker.models.spec import LoadedModel
from worker.models.tokens import Vocabulary, log_end_tokens
from worker.models.weights import load_weights

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FIRST_GPUS_WITH_BFLOAT16 = (8, 0)


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
        if device.index is None:  # streams and graphs have to be made on a device with a number
            device = torch.device("cuda", torch.cuda.current_device())
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
    return run_in_short_lived_thread(_load, checkpoint, device, dtype)


def _load(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    set_current_device(device)
    outline, vocabulary = Outline.read(checkpoint), Vocabulary.read(checkpoint)
    spec, network = read_spec(checkpoint, outline, vocabulary), outline.network
    checkpoint.fetch_weights()
    parameters = sum(weight.numel() for weight in network.parameters())
    try:
        load_weights(outline, checkpoint, device, dtype)
        network.eval().requires_grad_(False).pack()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise CheckpointError(f"{checkpoint.source}: does not fit into the memory of {device}") from error
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what laying out has left in pieces that keys and values do not fill
    log_end_tokens(spec.eos_token_ids, vocabulary)
    return LoadedModel(
        spec=spec,
        network=network,
        device=device,
        dtype=dtype,
        parameters=parameters,
        fingerprint=weights_fingerprint(
            checkpoint.folder / "config.json", checkpoint.weight_files(), str(dtype).removeprefix("torch.")
        ),
    )


def _cpu_has_bfloat16() -> bool:
    return any(
        probe()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if (probe := getattr(torch.cpu, name, None)) is not None
    )
