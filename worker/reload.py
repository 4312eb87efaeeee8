"""Take over the settings that the launcher changes while the worker runs."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import structlog
from pydantic import ValidationError

from textdiffusion.settings import LiveSettings
from worker.models.checkpoint import CheckpointError

log = structlog.get_logger(__name__)


def line_handler(change: Callable[[LiveSettings], None]) -> Callable[[bytes], None]:
    """Return what handles a line on any thread: the running event loop calls `change` with what it says."""
    loop = asyncio.get_running_loop()

    def handle(line: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this process is about to end
            loop.call_soon_threadsafe(apply_line, line, change)

    return handle


def apply_line(line: bytes, change: Callable[[LiveSettings], None]) -> None:
    """Call `change` with what `line` says; a line that cannot be used is logged and changes nothing."""
    try:
        live = LiveSettings.model_validate_json(line)
        change(live)
    except ValidationError as error:
        problems = list(_problems(error))
    except CheckpointError as error:
        problems = [str(error)]
    else:
        log.info("settings changed", **live.model_dump(exclude_none=True))
        return
    log.error("what the launcher says cannot be used; nothing is changed", problems=problems)


def _problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        yield ": ".join(part for part in (".".join(map(str, item["loc"])), item["msg"]) if part)
