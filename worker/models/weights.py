"""From stored tensors to the weights of a network: which are needed, which cannot matter, which are wrong."""

import re
from collections.abc import Iterator, Mapping

import structlog
import torch
from torch import Tensor, nn

from worker.layers.linear import Linear
from worker.models.checkpoint import Checkpoint, CheckpointError, StoredTensor
from worker.models.outline import Outline

log = structlog.get_logger(__name__)

# Angles that are computed from config.json here, and that old versions of transformers saved besides.
_ROTARY_BUFFER = re.compile(r"(?:^|\.)rotary_emb\.inv_freq$")
_SHOWN_PROBLEMS = 5


def check_tensors(outline: Outline, source: str, stored: Mapping[str, StoredTensor]) -> None:
    """Raise `CheckpointError` for tensors that are missing, of another shape, or that might matter and are unknown."""
    expected = _expected(outline)
    problems = [
        f"{name} has shape {list(stored[name].shape)}, not {list(shape)}"
        for name, shape in expected.items()
        if name in stored and stored[name].shape != shape
    ]
    problems += [f"{name} is missing" for name in expected if name not in stored]
    extra = {name for name in stored if name not in expected and not _ROTARY_BUFFER.search(name)}
    extra -= {*_repeated_heads(outline, stored), *outline.family.ignored_weights}
    problems += [f"{name} is not part of this architecture" for name in sorted(extra)]
    if problems:
        more = f" and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise CheckpointError(f"{source}: wrong tensors: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")


def load_weights(outline: Outline, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Read the weights in `dtype`, onto `device`, and lay out each layer once it is complete.

    Raises `CheckpointError`.
    """
    stored = checkpoint.stored_tensors()
    check_tensors(outline, checkpoint.source, stored)
    network, names = outline.network, outline.weight_names
    head = names[_output_name(outline)]
    for name, tensor in checkpoint.tensors(device, names):
        owner = _set_parameter(network, names[name], tensor.to(dtype))
        if isinstance(owner, Linear) and owner.is_loaded and names[name] != head:
            owner.pack()
    _check_repeated_heads(outline, checkpoint, stored)
    skipped = sorted(filter(_ROTARY_BUFFER.search, stored))
    if skipped:
        log.debug("tensors skipped: they are computed from config.json", tensors=skipped)


def _set_parameter(network: nn.Module, name: str, tensor: Tensor) -> nn.Module:
    """Put a tensor in a parameter's place, and return the layer that it belongs to."""
    path, _, leaf = name.rpartition(".")
    owner = network.get_submodule(path)
    setattr(owner, leaf, nn.Parameter(tensor, requires_grad=False))
    return network.get_submodule(path.rpartition(".")[0]) if isinstance(owner, nn.ParameterList) else owner


def _expected(outline: Outline) -> dict[str, tuple[int, ...]]:
    parameters = outline.network.state_dict()
    return {name: tuple(parameters[own].shape) for name, own in outline.weight_names.items()}


def _output_name(outline: Outline) -> str:
    """Return the name of the output matrix in the checkpoint; it is the embedding's where it is tied."""
    own = "embedding.weight" if outline.network.config.tie_word_embeddings else "lm_head.weights.0"
    return next(name for name, parameter in outline.weight_names.items() if parameter == own)


def _repeated_heads(outline: Outline, stored: Mapping[str, StoredTensor]) -> Iterator[str]:
    own, shape = outline.weight_names, tuple(outline.network.output_weight.shape)
    for name in outline.family.repeated_heads:
        if name in stored and name not in own and stored[name].shape == shape:
            yield name


def _check_repeated_heads(outline: Outline, checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]) -> None:
    head = outline.network.output_weight
    for name, tensor in checkpoint.tensors(head.device, list(_repeated_heads(outline, stored))):
        if not torch.equal(tensor.to(head.dtype), head):
            raise CheckpointError(
                f"{checkpoint.source}: wrong tensors: {name} is not equal to {_output_name(outline)}, "
                "which is the output matrix by config.json"
            )
        log.debug("tensor skipped: it repeats the output matrix", tensor=name)
