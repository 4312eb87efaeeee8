"""GET /version."""

from aiohttp import web

from router.schema.responses import Version
from textdiffusion import __version__


async def show_version(_: web.Request) -> web.Response:
    answer: Version = {"version": __version__}
    return web.json_response(answer)
