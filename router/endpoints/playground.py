"""GET / and what it needs: the playground."""

from typing import Final

from aiohttp import ETag, web

from router.errors import PathNotFoundError
from router.http.page import page_headers
from router.playground.files import PageFile, page_files

# Its scripts make elements and set text; a browser that knows trusted types lets none of them make markup.
HEADERS: Final = {
    **page_headers(
        script_src="'self'",
        style_src="'self'",
        img_src="'self'",
        connect_src="'self'",
        require_trusted_types_for="'script'",
        trusted_types="'none'",
    ),
    "Cache-Control": "no-cache",  # but kept: who asks again with the tag is told that it is still the same
    "Vary": "Accept-Encoding",
}


async def index(request: web.Request) -> web.Response:
    return _served(request, page_files()["index.html"])


async def file(request: web.Request) -> web.Response:
    found = page_files().get(request.match_info["file"])
    if found is None:
        raise PathNotFoundError("The playground has no such file.")
    return _served(request, found)


def _served(request: web.Request, file: PageFile) -> web.Response:
    tag = ETag(file.etag, is_weak=True)  # the same content, compressed or not
    if tag.value in {known.value for known in request.if_none_match or ()}:
        response = web.Response(status=304, headers=HEADERS)
    else:
        response = web.Response(body=file.content, content_type=file.content_type, charset="utf-8", headers=HEADERS)
        response.enable_compression()
    response.etag = tag
    return response
