"""GET /openapi.json and GET /docs: what this server says of itself, to programs and to people."""

from functools import cache

from aiohttp import web

from router.http.page import page_headers
from router.http.routing import ROUTES, RouteTable
from router.http.sse import json_text
from router.openapi.document import openapi_document
from router.openapi.page import STYLE_HASH, page

HEADERS = page_headers(style_src=STYLE_HASH)


async def openapi_json(request: web.Request) -> web.Response:
    return web.Response(body=_document(request.app[ROUTES]), content_type="application/json", charset="utf-8")


async def docs(request: web.Request) -> web.Response:
    return web.Response(body=_page(request.app[ROUTES]), content_type="text/html", charset="utf-8", headers=HEADERS)


@cache
def _document(table: RouteTable) -> bytes:
    return json_text(openapi_document(table)).encode()


@cache
def _page(table: RouteTable) -> bytes:
    return page(openapi_document(table)).encode()
