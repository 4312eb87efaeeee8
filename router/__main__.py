"""`python -m router`: serves OpenAI's API over the workers it is given."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any

from router.inherited import Inherited
from router.listening import CannotListenError
from router.server import serve
from textdiffusion.configuration import RootSettings, exit_with, main_settings
from textdiffusion.lifeline import follow_parent
from textdiffusion.logs import configure_logging
from textdiffusion.router_settings import RouterSettings
from textdiffusion.settings import LoggingSettings, TracingSettings
from textdiffusion.tracing import configure_tracing


class Settings(RootSettings):
    """Serves OpenAI's API over HTTP and forwards token ids to workers over gRPC."""

    router: RouterSettings = RouterSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()


def main() -> None:
    settings = main_settings(Settings, sys.argv[1:])
    configure_logging(settings.logging, "router")
    tracing = configure_tracing(settings.tracing, "router", settings.logging.log_format)
    follow_parent()
    try:
        _run(serve(settings.router, tracing, Inherited.from_environment(os.environ)))
    except CannotListenError as error:
        exit_with([str(error)], settings.logging.log_format)
    finally:
        tracing.close()


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - there is none on some platforms
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


if __name__ == "__main__":
    main()
