"""From stored tensors to the weights of a network: which are needed, which cannot matter, which are wrong."""

import re
from collections.abc import Collection, Iterator, Mapping

import structlog
import torch

from worker.models.checkpoint import Checkpoint, CheckpointError, StoredTensor
from worker.models.llada import WEIGHT_PREFIX, Llada

log = structlog.get_logger(__name__)

# Angles that are computed from config.json here, and that old versions of transformers saved besides.
_ROTARY_BUFFER = re.compile(r"(?:^|\.)rotary_emb\.inv_freq$")
# Under these names the output matrix is saved a second time: where it is tied, or beside its own name.
_HEADS = (f"{WEIGHT_PREFIX}ff_out.weight", "lm_head.weight")
_SHOWN_PROBLEMS = 5


def check_tensors(network: Llada, source: str, stored: Mapping[str, StoredTensor]) -> None:
    """Raise `CheckpointError` for tensors that are missing, of another shape, or that might matter and are unknown."""
    expected = _expected(network)
    problems = [
        f"{name} has shape {list(stored[name].shape)}, not {list(shape)}"
        for name, shape in expected.items()
        if name in stored and stored[name].shape != shape
    ]
    problems += [f"{name} is missing" for name in expected if name not in stored]
    extra = {name for name in stored if name not in expected and not _ROTARY_BUFFER.search(name)}
    extra -= set(_repeated_heads(network, stored))
    problems += [f"{name} is not part of this architecture" for name in sorted(extra)]
    if problems:
        more = f" and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise CheckpointError(f"{source}: wrong tensors: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")


def load_weights(network: Llada, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Read the weights of `network` in `dtype`, onto `device`. Raises `CheckpointError`."""
    stored = checkpoint.stored_tensors()
    check_tensors(network, checkpoint.source, stored)
    tensors = checkpoint.tensors(device, _expected(network))
    network.load_state_dict({name.removeprefix(WEIGHT_PREFIX): one.to(dtype) for name, one in tensors}, assign=True)
    _check_repeated_heads(network, checkpoint, stored)
    skipped = sorted(filter(_ROTARY_BUFFER.search, stored))
    if skipped:
        log.debug("tensors skipped: they are computed from config.json", tensors=skipped)


def _expected(network: Llada) -> dict[str, tuple[int, ...]]:
    return {WEIGHT_PREFIX + name: tuple(weight.shape) for name, weight in network.state_dict().items()}


def _repeated_heads(network: Llada, stored: Mapping[str, StoredTensor]) -> Iterator[str]:
    own: Collection[str] = _expected(network)
    for name in _HEADS:
        if name in stored and name not in own and stored[name].shape == tuple(network.output_weight.shape):
            yield name


def _check_repeated_heads(network: Llada, checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]) -> None:
    head = network.output_weight
    repeated = list(_repeated_heads(network, stored))
    for name, tensor in checkpoint.tensors(head.device, repeated):
        if not torch.equal(tensor.to(head.dtype), head):
            original = "wte.weight" if network.ff_out is None else "ff_out.weight"
            raise CheckpointError(
                f"{checkpoint.source}: wrong tensors: {name} is not equal to {WEIGHT_PREFIX}{original}, "
                "which is the output matrix by config.json"
            )
        log.debug("tensor skipped: it repeats the output matrix", tensor=name)
