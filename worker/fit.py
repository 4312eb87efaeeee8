"""Whether a model fits into the memory of its device, found out before its weights are fetched or read.

A process that runs out of memory is killed without a word, on a CPU at any time and by the kernel. So the most that it
will take is worked out beforehand, from config.json and the headers of the weights alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog
import torch

from textdiffusion.memory import in_gb
from textdiffusion.settings import WorkerSettings
from worker.attention.sdpa import MAX_SCORES
from worker.device import free_memory
from worker.engine.model_runner import LOGITS_AT_ONCE
from worker.engine.step_plan import rounded_down, rounded_up
from worker.kvcache.arena import max_positions_in_memory
from worker.layers.linear import ReorderedWeight
from worker.models.checkpoint import Checkpoint, CheckpointError, StoredTensor
from worker.models.hub import HubError, MissingFileError
from worker.models.loading import choose_device, choose_dtype
from worker.models.outline import Outline
from worker.models.spec import ModelSpec
from worker.models.transformer import Transformer, TransformerConfig
from worker.models.weights import check_tensors

log = structlog.get_logger(__name__)

# Measured. Of each logit held at once, sampling by top_p keeps this much: copies in float64, sorted, with their order.
BYTES_OF_LOGIT = 96
# Scores in float32, their softmax, and that rounded.
BYTES_OF_SCORE = 10
# The C library keeps what a step frees, in pieces that the next tensors do not fill; torch's own allocator packs
# better.
KEPT_OF_STEP = {"cpu": 2.5, "cuda": 1.25}
SHORT_CANVAS = 1024  # positions of a cache that is tried where the whole one does not fit
# The workspaces of libraries, and the graphs that short passes are recorded as.
BYTES_OF_LIBRARIES = {"cpu": 64_000_000, "cuda": 500_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that a worker takes at most: `loading` beside the weights while they are laid out, `step` after that."""

    weights: int
    loading: int
    positions: int
    keys_and_values: int
    step: int

    @property
    def total(self) -> int:
        return self.weights + max(self.loading, self.keys_and_values + self.step)

    def __str__(self) -> str:
        parts = (
            f"weights {in_gb(self.weights)}",
            f"keys and values of {self.positions} positions {in_gb(self.keys_and_values)}",
            f"one step {in_gb(self.step)}",
        )
        loading = f", while loading {in_gb(self.loading)}" if self.loading > self.keys_and_values + self.step else ""
        return f"{in_gb(self.total)} ({', '.join(parts)}{loading})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a model needs beside what its device has left."""

    need: Need
    free: int
    device: torch.device
    dtype: torch.dtype
    max_sequence_length: int

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"needs {self.need} in {dtype}; {self.device} has {in_gb(self.free)} left"


def check_fit(settings: WorkerSettings, checkpoint: Checkpoint) -> Fit:
    """Compare what the model needs with what is there. Raises `CheckpointError` if it cannot fit or cannot be loaded.

    Neither fetches nor reads any weights.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    outline = Outline.read(checkpoint)
    stored = _stored_tensors(checkpoint)
    if stored:
        check_tensors(outline, checkpoint.source, stored)
    need = estimate(settings, outline.network, stored, device, dtype)
    fit = Fit(
        need=need,
        free=free_memory(device, settings.memory_gb),
        device=device,
        dtype=dtype,
        max_sequence_length=outline.network.config.max_positions,
    )
    if need.total > fit.free:
        smaller = settings.model_copy(update={"kv_cache_positions": min(SHORT_CANVAS, need.positions)})
        with_short = estimate(smaller, outline.network, stored, device, dtype).total
        remedies = ", ".join(_remedies(settings, fit, with_short))
        raise CheckpointError(f"{checkpoint.source}: does not fit: it {fit}. What helps: {remedies}")
    return fit


def estimate(
    settings: WorkerSettings,
    network: Transformer,
    stored: Mapping[str, StoredTensor],
    device: torch.device,
    dtype: torch.dtype,
) -> Need:
    """Work out what a model takes: without `kv_cache_positions`, with a cache for one canvas of its full length."""
    config = network.config
    positions = settings.kv_cache_positions or config.max_positions
    canvas = min(positions, config.max_positions)
    rows = max(settings.max_step_rows, canvas)
    if settings.kv_cache_positions:
        rows = min(rows, positions)  # each row has a position of its own
    weights, loading = _weights(network, stored, device, dtype)
    return Need(
        weights=weights,
        loading=loading,
        positions=positions,
        keys_and_values=(positions + 1) * config.kv.bytes_per_position(dtype),
        step=step_bytes(config, rounded_up(rows), canvas, device, dtype),
    )


def positions_to_hold(settings: WorkerSettings, spec: ModelSpec, fit: Fit) -> int:
    """Return for how many positions a loaded model gets a cache: by default with half of what is left."""
    if settings.kv_cache_positions:
        return settings.kv_cache_positions
    left = min(fit.free - fit.need.weights, free_memory(fit.device, settings.memory_gb)) - fit.need.step
    requests = settings.max_concurrent_requests
    affordable = max_positions_in_memory(
        spec.kv, fit.dtype, requests=requests, max_length=spec.max_positions, free_bytes=max(0, left)
    )
    return max(fit.need.positions, affordable)


def step_bytes(config: TransformerConfig, rows: int, canvas: int, device: torch.device, dtype: torch.dtype) -> int:
    """Return what one forward pass over so many rows takes, and the decisions about its logits."""
    size, width, kv_width = dtype.itemsize, config.hidden_size, config.num_kv_heads * config.head_dim
    turned = width + kv_width  # queries and keys, which are rotated as complex numbers of float32
    attention = size * (width + 2 * kv_width) + 12 * turned + size * (2 * width + turned)
    expansion = 4 * size * (config.intermediate_size + width)
    by_products = device.type == "cpu" and dtype is torch.bfloat16
    scores = min(config.num_heads * canvas * canvas, MAX_SCORES) * BYTES_OF_SCORE if by_products else 0
    at_once = max(rounded_down(LOGITS_AT_ONCE[device.type] // config.padded_vocab_size), 1)
    logits = min(rows, at_once) * config.padded_vocab_size * BYTES_OF_LOGIT
    live = rows * max(attention, expansion) + scores + logits
    return round(live * KEPT_OF_STEP[device.type]) + BYTES_OF_LIBRARIES[device.type]


def _weights(
    network: Transformer, stored: Mapping[str, StoredTensor], device: torch.device, dtype: torch.dtype
) -> tuple[int, int]:
    """Return the bytes of the weights, and of what there is beside them while they are read and laid out."""
    config, size, width = network.config, dtype.itemsize, network.config.hidden_size
    parameters = sum(weight.numel() for weight in network.parameters())
    head = config.padded_vocab_size * width
    joined = width * (width + 2 * config.num_kv_heads * config.head_dim)
    if not ReorderedWeight.suits(device, dtype):
        largest = max((tensor.bytes for tensor in stored.values()), default=head * size)
        return parameters * size, max(largest, joined * size)
    # Each matrix is there twice while it is reordered, those that are joined three times; a tied one stays twice.
    held = parameters + (head if config.tie_word_embeddings else 0)
    return held * size, max(2 * joined, config.intermediate_size * width, head) * size + BYTES_OF_LIBRARIES["cpu"]


def _stored_tensors(checkpoint: Checkpoint) -> Mapping[str, StoredTensor]:
    """Return the headers of the weights; none if the hub does not give them, for config.json says enough."""
    try:
        return checkpoint.stored_tensors()
    except MissingFileError as error:
        raise CheckpointError(str(error)) from error
    except HubError as error:
        log.warning("the weights are checked only once they are fetched", reason=str(error))
        return {}


def _remedies(settings: WorkerSettings, fit: Fit, with_short_canvas: int) -> Iterator[str]:
    if fit.dtype is torch.float32:
        yield "dtype bfloat16"
    if fit.need.positions > SHORT_CANVAS and with_short_canvas < fit.free:
        yield f"a kv_cache_positions below {fit.need.positions} (with {SHORT_CANVAS} it fits)"
    elif fit.need.weights + max(fit.need.loading, fit.need.step) < fit.free:
        yield f"a kv_cache_positions below {fit.need.positions}"
    canvas = min(fit.need.positions, fit.max_sequence_length)
    if settings.max_step_rows > canvas and fit.need.weights + fit.need.keys_and_values < fit.free:
        yield f"a max_step_rows below {settings.max_step_rows}"
    if settings.memory_gb is not None:
        yield f"a memory_gb above {settings.memory_gb:g}"
    yield "another device" if fit.device.type == "cuda" else "a device or a container with more memory"
