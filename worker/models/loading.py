"""From a checkpoint to a network ready to run, whatever its architecture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from textdiffusion.fingerprint import weights_fingerprint
from worker.device import apart, use
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.llada import Llada, LladaConfig, UnsupportedModelError
from worker.models.tokens import Vocabulary, end_token_ids, log_end_tokens, mask_token_id
from worker.models.weights import load_weights

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FIRST_GPUS_WITH_BFLOAT16 = (8, 0)


@dataclass(frozen=True, slots=True)
class Outline:
    """A network as config.json describes it, on the meta device: its shapes, and no weights."""

    config: Mapping[str, Any]
    model_type: str
    network: Llada

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> "Outline":
        """Raises `CheckpointError` for a model that is not supported."""
        config = checkpoint.read_json("config.json", required=True)
        model_type = config.get("model_type")
        if model_type != "llada":
            raise CheckpointError(
                f"{checkpoint.source}: config.json: model_type is {model_type!r}; 'llada' is supported"
            )
        try:
            parsed = LladaConfig.parse(config)
        except UnsupportedModelError as error:
            raise CheckpointError(f"{checkpoint.source}: {error}") from error
        with torch.device("meta"):
            return cls(config, model_type, Llada(parsed))


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
    return apart(_load, checkpoint, device, dtype)


def read_tokens(checkpoint: Checkpoint, outline: Outline) -> tuple[Vocabulary, int, tuple[int, ...]]:
    """Return the vocabulary, the mask token and the end tokens. Raises `CheckpointError`."""
    vocabulary, vocab_size = Vocabulary.read(checkpoint), outline.network.config.vocab_size
    mask = mask_token_id(checkpoint, outline.config, vocabulary, vocab_size)
    return vocabulary, mask, end_token_ids(checkpoint, outline.config, vocabulary, vocab_size)


def _load(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    use(device)
    outline = Outline.read(checkpoint)
    network, vocab_size = outline.network, outline.network.config.vocab_size
    vocabulary, mask, ends = read_tokens(checkpoint, outline)
    checkpoint.fetch_weights()
    try:
        load_weights(network, checkpoint, device, dtype)
        parameters = sum(weight.numel() for weight in network.parameters())
        network.eval().requires_grad_(False).pack()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise CheckpointError(f"{checkpoint.source}: does not fit into the memory of {device}") from error
    log_end_tokens(ends, vocabulary)
    return LoadedModel(
        network=network,
        model_type=outline.model_type,
        device=device,
        dtype=dtype,
        vocab_size=vocab_size,
        max_sequence_length=network.config.max_sequence_length,
        mask_token_id=mask,
        eos_token_ids=ends,
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
