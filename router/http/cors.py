"""Lets pages of allowed origins use the server from within a browser: the CORS protocol of the Fetch standard.

A browser asks before it sends JSON to another origin, and never with a key. It shows a page an answer, and of its
headers the exposed ones, only if the answer allows the page's origin.
"""

import re
from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web

from router.http.limits import LIMIT_HEADERS
from router.http.middleware import REQUEST_ID_HEADER, Handler
from router.services import FACTS
from textdiffusion.origins import ANY, is_origin

METHODS: Final = "GET, POST, OPTIONS"
MAX_AGE_SECONDS: Final = 7200  # browsers cap it there or above
EXPOSED: Final = ", ".join((REQUEST_ID_HEADER, "retry-after", "x-should-retry", *LIMIT_HEADERS))
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
ASKS_PRIVATE_NETWORK: Final = "Access-Control-Request-Private-Network"
ALLOWS_PRIVATE_NETWORK: Final = "Access-Control-Allow-Private-Network"
VARIES_PREFLIGHT: Final = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class AllowedOrigins:
    """The origins whose pages may read answers, as `textdiffusion.origins` parses them."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def allow(self, origin: str | None) -> bool:
        if origin is None or not is_origin(origin):
            return False
        return ANY in self._origins or origin.lower() in self._origins

    def add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Tell the browser that sent `request` whether its page may read `response`, and caches that this differs."""
        if not self:
            return
        _add_vary(response, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.allow(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED


ALLOWED_ORIGINS = web.AppKey("allowed_origins", AllowedOrigins)


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a browser asks before a request of another origin, without a key, if that origin is allowed."""
    if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
        return await handler(request)
    origin = request.headers.get(hdrs.ORIGIN)
    if not request.app[ALLOWED_ORIGINS].allow(origin):
        if origin and is_origin(origin):
            request[FACTS]["origin"] = origin[:200]
        return await handler(request)
    return _preflight_answer(request)


async def allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Run as any response is about to be sent, errors and streams included."""
    request.app[ALLOWED_ORIGINS].add_headers(request, response)


def _preflight_answer(request: web.Request) -> web.Response:
    answer = web.Response(status=204)
    answer.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = METHODS
    answer.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(MAX_AGE_SECONDS)
    answer.headers[hdrs.VARY] = VARIES_PREFLIGHT
    if asked := _requested_headers(request):
        answer.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = asked
    if request.headers.get(ASKS_PRIVATE_NETWORK) == "true":
        answer.headers[ALLOWS_PRIVATE_NETWORK] = "true"
    return answer


def _requested_headers(request: web.Request) -> str:
    """All that the page wants to send: clients have headers of their own, a dozen of them."""
    asked = ",".join(request.headers.getall(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, []))
    names = (name.strip() for name in asked.split(","))
    return ", ".join(name for name in names if HEADER_NAME.fullmatch(name))


def _add_vary(response: web.StreamResponse, name: str) -> None:
    known = response.headers.get(hdrs.VARY, "")
    if name.lower() not in {each.strip().lower() for each in known.split(",")}:
        response.headers[hdrs.VARY] = f"{known}, {name}" if known else name
