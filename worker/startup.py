"""From settings to a model that runs, and what is told of it."""

from collections.abc import Callable
from dataclasses import replace

import structlog
import torch

from textdiffusion import __version__
from textdiffusion.fingerprint import tokenizer_fingerprint
from textdiffusion.memory import in_gb
from textdiffusion.settings import WorkerSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from worker.device import describe, keep_freed_memory, set_current_device
from worker.engine.engine import Engine
from worker.engine.scheduler import Limits
from worker.fit import check_fit, positions_to_hold
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.loading import load_model
from worker.models.outline import find_family_of
from worker.models.spec import LoadedModel
from worker.options import defaults_for
from worker.published import log_unhonoured
from worker.service import Serving

log = structlog.get_logger(__name__)


def load(settings: WorkerSettings, on_broken: Callable[[], object]) -> Serving:
    """Take as long as it takes, and run a first forward pass. Raises `CheckpointError` or `GraphCaptureError`."""
    if settings.cpu_threads:
        torch.set_num_threads(settings.cpu_threads)  # of every thread that computes from now on
    if settings.trust_remote_code:
        log.info("trust_remote_code changes nothing: no code of a checkpoint is ever run")
    checkpoint = Checkpoint.find(settings.model).with_tokenizer(settings.tokenizer)
    family = find_family_of(checkpoint)
    defaults = defaults_for(checkpoint, settings.generation, family)
    log_unhonoured(checkpoint)
    fit = check_fit(settings, checkpoint)
    log.info("memory", needed=str(fit.need), left=in_gb(fit.free))
    model = load_model(checkpoint, fit.device, fit.dtype)
    positions = positions_to_hold(settings, model.spec, fit)
    # What does not fit into the cache cannot be run, whatever the model could do.
    spec = replace(model.spec, max_positions=min(model.spec.max_positions, positions))
    model = replace(model, spec=spec)
    limits = Limits(
        max_running=settings.max_concurrent_requests,
        max_waiting=settings.max_queued_requests,
        max_rows=settings.max_step_rows,
        positions=positions,
    )
    engine = _started(settings, model, limits, on_broken)
    return Serving(engine, checkpoint, family, _info(settings, checkpoint, model, defaults))


def _started(settings: WorkerSettings, model: LoadedModel, limits: Limits, on_broken: Callable[[], object]) -> Engine:
    confidence_dtype = getattr(torch, settings.confidence_dtype)
    keep_freed_memory()
    set_current_device(model.device)
    try:
        engine = Engine(
            model,
            limits,
            confidence_dtype=confidence_dtype,
            use_graphs=settings.cuda_graphs,
            on_broken=on_broken,
        )
        engine.start()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise CheckpointError(
            f"the memory of {model.device} has no room for a forward pass beside the keys and values of "
            f"{limits.positions} positions; set kv_cache_positions"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"{model.device} cannot run the model: {str(error).partition(chr(10))[0]}") from error
    return engine


def _info(
    settings: WorkerSettings, checkpoint: Checkpoint, model: LoadedModel, defaults: pb.DiffusionOptions
) -> pb.GetInfoResponse:
    tokenizer = tokenizer_fingerprint(checkpoint.tokenizer.folder)
    return pb.GetInfoResponse(
        model_id=settings.model_id,
        model_type=model.spec.model_type,
        version=__version__,
        device=str(model.device),
        device_name=describe(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        vocab_size=model.spec.vocab_size,
        max_sequence_length=model.spec.max_positions,
        mask_token_id=model.spec.mask_token_id,
        eos_token_ids=model.spec.eos_token_ids,
        parameters=model.parameters,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_queued_requests=settings.max_queued_requests,
        defaults=defaults,
        tokenizer=checkpoint.tokenizer.source if tokenizer else "",
        fingerprint=model.fingerprint,
        tokenizer_fingerprint=tokenizer,
        family=model.spec.family,
        devices=[str(model.device)],
    )
