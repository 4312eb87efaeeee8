"""How many requests and tokens a client may ask for in a minute, and what it is told about them.

A client's minute begins with its first request, and all that it has taken comes back at once when the minute ends;
`limits` calls this a fixed window. So there is one number to keep for each client, and what the headers and Retry-After
promise comes true exactly. The price is that a client may take two minutes' worth in a row, around the end of one.
"""

import math
import time
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from router.errors import RateLimitExceededError
from router.http.keys import API_KEYS, KEY_NAME
from router.http.middleware import Handler
from router.http.routing import ROUTES
from router.http.windows import Clock, Windows

REQUESTS, TOKENS = "requests", "tokens"
LIMIT_HEADERS: Final = tuple(
    f"x-ratelimit-{part}-{name}" for name in (REQUESTS, TOKENS) for part in ("limit", "remaining", "reset")
)
SUBNET_BITS: Final = 64  # who has one address of IPv6 has all of its subnet


class RateLimits:
    """What clients may still ask for; None is no limit."""

    def __init__(
        self, requests_per_minute: int | None, tokens_per_minute: int | None, clock: Clock = time.monotonic
    ) -> None:
        self._clock = clock
        self._limiter = FixedWindowRateLimiter(Windows(clock))
        self._items: dict[str, RateLimitItem] = {
            name: RateLimitItemPerMinute(amount, namespace=name)
            for name, amount in ((REQUESTS, requests_per_minute), (TOKENS, tokens_per_minute))
            if amount is not None
        }

    def __bool__(self) -> bool:
        return bool(self._items)

    def take_request(self, client: str) -> None:
        """Counts one more request. Raises `RateLimitExceededError`."""
        item = self._items.get(REQUESTS)
        if item and not self._take(item, client, 1):
            raise _try_again(f"The limit of {item.amount} requests per minute is used up.", self._wait(item, client))

    def take_tokens(self, client: str, tokens: int) -> None:
        """Counts what a request asks for: its prompt and the canvases of all its choices. Raises as above."""
        item = self._items.get(TOKENS)
        if item is None:
            return
        asked = f"The request asks for {tokens} tokens, prompt and reply together"
        if tokens > item.amount:
            raise RateLimitExceededError(
                f"{asked}; the limit is {item.amount} tokens per minute, so it has to ask for fewer.",
                headers={"x-should-retry": "false"},
            )
        if not self._take(item, client, tokens):
            left = self._limiter.get_window_stats(item, client).remaining
            in_the_way = [one for one in self._items.values() if one is item or not self._limiter.test(one, client)]
            raise _try_again(
                f"{asked}; of the limit of {item.amount} tokens per minute {left} are left.",
                max(self._wait(one, client) for one in in_the_way),
            )

    def headers(self, client: str) -> dict[str, str]:
        """What OpenAI's API tells with each answer."""
        headers = {}
        for name, item in self._items.items():
            headers[f"x-ratelimit-limit-{name}"] = str(item.amount)
            headers[f"x-ratelimit-remaining-{name}"] = str(self._limiter.get_window_stats(item, client).remaining)
            headers[f"x-ratelimit-reset-{name}"] = duration(self._wait(item, client))
        return headers

    def _take(self, item: RateLimitItem, client: str, cost: int) -> bool:
        """All or nothing; `hit` alone would also count what it refuses."""
        return self._limiter.test(item, client, cost=cost) and self._limiter.hit(item, client, cost=cost)

    def _wait(self, item: RateLimitItem, client: str) -> float:
        """Seconds until the client's minute ends."""
        return self._limiter.get_window_stats(item, client).reset_time - self._clock()


RATE_LIMITS = web.AppKey("rate_limits", RateLimits)


@web.middleware
async def limit_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    if _is_limited(request):
        request.app[RATE_LIMITS].take_request(client_of(request))
    return await handler(request)


def charge_tokens(request: web.Request, tokens: int) -> None:
    """What a request asks for, once it is known. Raises `RateLimitExceededError`."""
    if _is_limited(request):
        request.app[RATE_LIMITS].take_tokens(client_of(request), tokens)


async def tell_limits(request: web.Request, response: web.StreamResponse) -> None:
    """Runs as any response is about to be sent; strangers, whom nobody counts, are told nothing."""
    if _is_limited(request) and (KEY_NAME in request or not request.app[API_KEYS]):
        response.headers.update(request.app[RATE_LIMITS].headers(client_of(request)))


def client_of(request: web.Request) -> str:
    """Who is counted: the name of the key or, where there are no keys, the address."""
    return request[KEY_NAME] if KEY_NAME in request else subnet_of(request.remote or "")


def subnet_of(address: str) -> str:
    """What one client has: an address of IPv4, a subnet of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), SUBNET_BITS), strict=False))


def duration(seconds: float) -> str:
    """As OpenAI's API writes it: 0s, 120ms, 7.66s, 1m0s."""
    minutes, milliseconds = divmod(max(0, math.ceil(seconds * 1000)), 60_000)
    if not minutes and 0 < milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds}ms"
    return (f"{minutes}m" if minutes else "") + f"{milliseconds / 1000:g}s"


def _is_limited(request: web.Request) -> bool:
    route = request.app[ROUTES].of(request)
    return bool(request.app[RATE_LIMITS]) and route is not None and route.limited


def _try_again(problem: str, seconds: float) -> RateLimitExceededError:
    whole = max(1, math.ceil(seconds))
    return RateLimitExceededError(f"{problem} Try again in {whole} seconds.", headers={"Retry-After": str(whole)})
