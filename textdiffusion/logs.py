"""One log for every process: lines for people or JSON for machines, on standard error."""

import logging
import os
import re
import sys

import structlog

from textdiffusion.settings import LoggingSettings, LogLevel

PLAIN = re.compile(r"[!-~]+")


def configure_logging(settings: LoggingSettings, process: str) -> None:
    """Sends structlog and the standard library's loggers through one renderer; every line names `process`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if settings.log_format == "console" else "iso", utc=False),
        structlog.processors.format_exc_info,
        _named(process),
    ]
    handler = _StandardError() if sys.stderr else logging.NullHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    set_log_level(settings.log_level)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=logging.getLogger,
        wrapper_class=structlog.stdlib.BoundLogger,
    )


class _StandardError(logging.Handler):
    """Writes each line at once. One that a full disk or a closed pipe does not take is lost, and nothing else.

    Not `sys.stderr`: what could not be written would stay in its buffer and change the exit code.
    """

    def __init__(self) -> None:
        super().__init__()
        self._descriptor = sys.stderr.fileno()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(self._descriptor, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass
        except Exception:  # noqa: BLE001 - it says what is wrong with the call that wanted to log
            self.handleError(record)


def set_log_level(level: LogLevel) -> None:
    """From now on, for all loggers."""
    logging.getLogger().setLevel(level.upper())


def _named(process: str) -> structlog.typing.Processor:
    def add_process(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add_process


def _renderer(settings: LoggingSettings) -> structlog.typing.Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    if not (sys.stderr and sys.stderr.isatty()):
        return _line
    # Plain: structlog's own choice prints every variable of every frame, what users wrote among them.
    return structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)


def _line(_: object, __: str, event: structlog.typing.EventDict) -> str:
    """For files and pipes; structlog's own takes half as long again, for each request."""
    exception = event.pop("exception", None)
    head = f"{event.pop('timestamp')} [{event.pop('level'):9}] {event.pop('event')}"
    facts = [f"{name}={_shown(event[name])}" for name in event]
    return " ".join([head, *facts]) + (f"\n{exception}" if exception else "")


def _shown(fact: object) -> str:
    """As it is, unless it could be taken for more than one fact or one line."""
    text = str(fact)
    return text if PLAIN.fullmatch(text) else repr(fact)
