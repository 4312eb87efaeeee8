"""What the launcher says of the processes that it runs."""

from typing import Final

import aiohttp
import structlog
from pydantic import TypeAdapter, ValidationError

from textdiffusion.status import STATUS_PATH, LauncherStatus

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 0.5
ANSWER: Final = TypeAdapter(LauncherStatus)


async def launcher_status(path: str, seconds: float = ANSWER_SECONDS) -> LauncherStatus | None:
    """Asked on the unix socket at `path`; none if nobody answers in time, or the answer is something else."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    connector = aiohttp.UnixConnector(path)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, raise_for_status=True) as session,
            session.get(f"http://launcher{STATUS_PATH}") as response,
        ):
            return ANSWER.validate_json(await response.read())
    except (TimeoutError, aiohttp.ClientError, OSError, ValidationError) as error:
        log.debug("the launcher does not say how it is", reason=type(error).__name__)
        return None
