"""Serves a path with a slash too many like the path without it, and names the path that was probably meant.

The path is put right before routing, keys and limits look at it, so that all of them see the same one. A redirect would
lose the key with some clients.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http import RawRequestMessage

SLASHES: Final = re.compile("/{2,}")
VERSION: Final = "/v1"

RequestFactory = Callable[..., Any]


def ignoring_slashes(make: RequestFactory) -> RequestFactory:
    """Wrap what makes a server's requests."""

    def make_tidy(message: RawRequestMessage, *connection: Any) -> Any:
        return make(_tidy(message), *connection)

    return make_tidy


def path_meant(request: web.BaseRequest) -> str | None:
    """Return the path that a base URL without /v1, or with one too many, was to lead to."""
    path = request.rel_url.raw_path
    if not isinstance(request, web.Request):
        return None
    there = {resource.canonical for resource in request.app.router.resources()}
    return next((one for one in (f"{VERSION}{path}", path.removeprefix(VERSION)) if one != path and one in there), None)


def _tidy(message: RawRequestMessage) -> RawRequestMessage:
    path = message.url.raw_path
    if not path.startswith("/") or ("//" not in path and (path == "/" or not path.endswith("/"))):
        return message
    tidy = SLASHES.sub("/", path).rstrip("/") or "/"
    url = message.url.with_path(tidy, encoded=True, keep_query=True)
    return message._replace(path=str(url), url=url)
