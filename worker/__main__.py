"""`python -m worker --model DIR --listen unix:PATH|HOST:PORT`, or the same from the environment.

Exit codes: 0 stopped when asked, 1 cannot start or failed (its last line says why), 2 ended by a second signal, or by a
step that does not end, before its requests were done.
"""

import asyncio
import os
import sys

import structlog

from textdiffusion.configuration import EXIT_BAD_CONFIGURATION, CommandLine, exit_with
from textdiffusion.lifeline import environment_to_become
from textdiffusion.logs import configure_logging
from textdiffusion.tracing import configure_tracing
from worker.settings import WorkerRoot

log = structlog.get_logger(__name__)


def main() -> None:
    line = CommandLine.parsed(WorkerRoot, sys.argv[1:])
    settings = line.usable_settings()
    configure_logging(settings.logging, "worker")
    if line.check:
        _check(settings)
        return
    tracing = configure_tracing(settings.tracing, "worker", settings.logging.log_format)
    # These import torch, which takes seconds: what is wrong with the settings, or asked of them, is said before that.
    from worker.engine.cuda_graphs import GraphCaptureError  # noqa: PLC0415
    from worker.models.checkpoint import CheckpointError  # noqa: PLC0415
    from worker.server import AddressInUseError, serve  # noqa: PLC0415

    try:
        asyncio.run(serve(settings.worker, tracing))
    except (CheckpointError, AddressInUseError) as error:
        exit_with([str(error)], settings.logging.log_format)
    except GraphCaptureError as error:
        log.warning("recording CUDA graphs failed; the worker starts again without", reason=str(error))
        tracing.close()
        _become_without_graphs()
    except Exception:
        log.exception("the worker failed")
        raise SystemExit(EXIT_BAD_CONFIGURATION) from None
    finally:
        tracing.close()


def _become_without_graphs() -> None:
    command = [sys.executable, "-m", "worker", *sys.argv[1:], "--cuda-graphs=false"]
    os.execve(command[0], command, environment_to_become())  # noqa: S606 - no shell is the point


def _check(settings: WorkerRoot) -> None:
    """Say whether the model can be loaded and fits, as far as its small files and the headers of its weights show."""
    from worker.fit import check_fit  # noqa: PLC0415 - torch, as above
    from worker.models.checkpoint import Checkpoint, CheckpointError  # noqa: PLC0415
    from worker.models.outline import Outline, find_family_of, read_spec  # noqa: PLC0415
    from worker.models.tokens import Vocabulary  # noqa: PLC0415
    from worker.options import defaults_for  # noqa: PLC0415

    try:
        checkpoint = Checkpoint.find(settings.worker.model).with_tokenizer(settings.worker.tokenizer)
        defaults_for(checkpoint, settings.worker.generation, find_family_of(checkpoint))
        fit = check_fit(settings.worker, checkpoint)
        read_spec(checkpoint, Outline.read(checkpoint), Vocabulary.read(checkpoint))
    except CheckpointError as error:
        exit_with([str(error)], settings.logging.log_format)
    print(f"fits: it {fit}")  # noqa: T201 - what was asked for


if __name__ == "__main__":
    main()
