"""Refuses requests for a host by whose name this server is not known, where nothing else protects it.

A page on any website can have its own name point to this machine ("DNS rebinding"): to the browser the server then is
of the page's origin, which may read all answers. Such a request is known by its Host header. Where there are keys the
page has none, and where other machines are served everyone may ask by any name.
"""

from collections.abc import Collection

from aiohttp import hdrs, web

from router.errors import HostNotAllowedError
from router.http.keys import is_launcher
from router.http.middleware import Handler
from textdiffusion.addresses import is_loopback
from textdiffusion.origins import ANY, host_of
from textdiffusion.router_settings import RouterSettings


class KnownHosts:
    """Names for this machine: those of loopback, and others as `textdiffusion.origins` parses them."""

    def __init__(self, others: Collection[str]) -> None:
        self._others = frozenset(others)

    def include(self, header: str) -> bool:
        host = host_of(header)
        return is_loopback(host) or host.endswith(".localhost") or not self._others.isdisjoint((ANY, host))


KNOWN_HOSTS = web.AppKey("known_hosts", KnownHosts)


def needs_host_check(settings: RouterSettings) -> bool:
    """Tell whether only this machine is served, and without keys."""
    return is_loopback(settings.host) and not settings.digests


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let through what names a known host or, as only old programs do, none. Raises `HostNotAllowedError`."""
    known = request.app[KNOWN_HOSTS]
    unknown = [host for host in request.headers.getall(hdrs.HOST, []) if not known.include(host)]
    if unknown and not is_launcher(request):
        raise HostNotAllowedError(
            f"This server does not answer to the host {unknown[0]!r:.200}, but to localhost, loopback addresses and "
            "the names in its setting allowed_hosts: without API keys, any website could reach it by another name."
        )
    return await handler(request)
