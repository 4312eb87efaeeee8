"""Lets in only those who have a key, where there are keys.

Every path but those of open routes needs one, even a path that does not exist: strangers do not learn which do.
"""

import hmac
import stat
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from pydantic import SecretStr

from router.errors import InvalidApiKeyError
from router.http.middleware import Handler
from router.http.routing import ROUTES
from router.services import FACTS
from textdiffusion.keys import digest_of

log = structlog.get_logger(__name__)

SCHEME: Final = "bearer"
PROXY_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class ApiKeys:
    """Knows keys by their digests alone, which look as `textdiffusion.keys` makes them."""

    def __init__(self, digests: Mapping[str, SecretStr]) -> None:
        self._digests = {name: digest.get_secret_value().encode() for name, digest in digests.items()}

    def __bool__(self) -> bool:
        return bool(self._digests)

    def name_of(self, authorization: str | None) -> str:
        """Whose key the Authorization header has. Raises `InvalidApiKeyError`.

        All keys are compared, each in constant time: how long it takes tells nothing about any of them.
        """
        given = _digest_in(authorization or "")
        found = [name for name, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        if not found:
            raise InvalidApiKeyError
        return found[0]


API_KEYS = web.AppKey("api_keys", ApiKeys)
KEY_NAME = web.RequestKey("key_name", str)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    keys = request.app[API_KEYS]
    if keys and not _is_open(request):
        request[KEY_NAME] = request[FACTS]["key"] = keys.name_of(request.headers.get("Authorization"))
    return await handler(request)


def is_stranger(request: web.Request) -> bool:
    """Whether there are keys and whoever asks has none, and is not on this machine, as the launcher is."""
    keys = request.app[API_KEYS]
    if not keys or is_launcher(request) or _is_from_here(request):
        return False
    try:
        keys.name_of(request.headers.get("Authorization"))
    except InvalidApiKeyError:
        return True
    return False


def is_launcher(request: web.Request) -> bool:
    """The launcher asks on a unix socket that nobody else can reach: its name is a path, not host and port."""
    return isinstance(request.get_extra_info("sockname"), str)


def warn_if_all_can_read(path: Path) -> None:
    if path.stat().st_mode & stat.S_IROTH:
        log.warning("every user of this machine can read the API keys; chmod 600 ends that", path=str(path))


def _is_open(request: web.Request) -> bool:
    route = request.app[ROUTES].near(request)
    return route is not None and route.access == "open"


def _is_from_here(request: web.Request) -> bool:
    """A proxy on this machine asks for others, and says so in a header."""
    here, peer = request.get_extra_info("sockname"), request.get_extra_info("peername")
    if not peer or any(name in request.headers for name in PROXY_HEADERS):
        return False
    return bool(peer[0] == here[0] or ip_address(peer[0]).is_loopback)


def _digest_in(authorization: str) -> bytes:
    """The digest of the key; empty, which is no key's, where there is none."""
    words = authorization.split()
    if len(words) != 2 or words[0].lower() != SCHEME:  # noqa: PLR2004 - "Bearer", and the key
        return b""
    return digest_of(words[1].encode("utf-8", "surrogateescape")).encode()
