"""GET /openapi.json and GET /docs: what this server says of itself, to programs and to people."""

from functools import cache

from aiohttp import web

from router.http.page import page_headers
from router.http.sse import json_text
from router.openapi.document import openapi_document
from router.openapi.page import STYLE_HASH, page

HEADERS = page_headers(style_src=STYLE_HASH)


async def openapi_json(_: web.Request) -> web.Response:
    return web.Response(body=_document(), content_type="application/json", charset="utf-8")


async def docs(_: web.Request) -> web.Response:
    return web.Response(body=_page(), content_type="text/html", charset="utf-8", headers=HEADERS)


@cache
def _document() -> bytes:
    return json_text(openapi_document()).encode()


@cache
def _page() -> bytes:
    return page(openapi_document()).encode()
