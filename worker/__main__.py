"""`python -m worker --model DIR --listen unix:PATH|HOST:PORT`, or the same from the environment.

Exit codes: 0 stopped when asked, 1 cannot start or failed (its last line says why), 2 ended by a second signal, or by a
step that does not end, before its requests were done.
"""

import asyncio
import sys

import structlog

from textdiffusion.configuration import EXIT_BAD_CONFIGURATION, exit_with, main_settings
from textdiffusion.logs import configure_logging
from textdiffusion.tracing import configure_tracing
from worker.models.checkpoint import CheckpointError
from worker.server import AddressInUseError, serve
from worker.settings import WorkerRoot

log = structlog.get_logger(__name__)


def main() -> None:
    settings = main_settings(WorkerRoot, sys.argv[1:])
    configure_logging(settings.logging, "worker")
    tracing = configure_tracing(settings.tracing, "worker", settings.logging.log_format)
    try:
        asyncio.run(serve(settings.worker, tracing))
    except (CheckpointError, AddressInUseError) as error:
        exit_with([str(error)], settings.logging.log_format)
    except Exception:
        log.exception("the worker failed")
        raise SystemExit(EXIT_BAD_CONFIGURATION) from None
    finally:
        tracing.close()


if __name__ == "__main__":
    main()
