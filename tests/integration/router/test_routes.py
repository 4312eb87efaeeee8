"""Whatever the table says of a route holds for the application."""

from typing import Any

import pytest
from aiohttp import hdrs

from router.app import build_app
from router.http.routing import Route
from router.routes import TABLE
from router.workers.pool import Pool
from testing.worker import FakeWorker
from textdiffusion.router_settings import RouterSettings

KEYS = {"alice": "sk-alice"}

each_route = pytest.mark.parametrize("route", TABLE.routes, ids=lambda route: f"{route.method} {route.template}")


async def headers_of(router: Any, route: Route, method: str = "", key: str = "") -> tuple[int, Any]:
    url = router.url + route.template.replace("{id}", "fake").replace("{file}", "scripts/main.js")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with router.http.request(method or route.method, url, headers=headers) as response:
        return response.status, response.headers


@pytest.mark.parametrize("on", [True, False])
def test_the_application_has_every_route_of_the_table_and_no_other(on: bool) -> None:
    app = build_app(RouterSettings(playground=on), Pool(()))
    served = {
        (route.method, route.resource.canonical, route.handler)
        for route in app.router.routes()
        if route.resource and route.method != hdrs.METH_HEAD  # comes with each GET
    }
    listed = [route for route in TABLE.routes if on or route.setting != "playground"]
    assert served == {(route.method, route.template, route.handler) for route in listed}
    assert len(served) == len(listed) == len(list(app.router.resources()))


@each_route
def test_whatever_writes_text_is_limited_and_traced_and_needs_a_key(route: Route) -> None:
    operation = TABLE.documented.get(route)
    writes = operation is not None and operation.stream is not None
    assert (route.limited, route.operation is not None) == (writes, writes)
    assert route.access == "key" or not writes


@each_route
async def test_a_route_asks_for_a_key_exactly_if_it_says_so(
    worker: FakeWorker, start_router: Any, route: Route
) -> None:
    router = await start_router(worker.address, api_keys=KEYS)
    for method in (route.method, "HEAD", "OPTIONS", "DELETE"):
        assert ((await headers_of(router, route, method))[0] == 401) is (route.access == "key")
        assert (await headers_of(router, route, method, "sk-alice"))[0] != 401


@each_route
async def test_a_route_counts_exactly_if_it_says_so(worker: FakeWorker, start_router: Any, route: Route) -> None:
    router = await start_router(worker.address, requests_per_minute=1)
    for method in ("OPTIONS", "DELETE"):
        assert "x-ratelimit-limit-requests" not in (await headers_of(router, route, method))[1]
    answers = [await headers_of(router, route) for _ in range(2)]
    assert [status == 429 for status, _ in answers] == [False, route.limited]
    assert all(("x-ratelimit-limit-requests" in headers) is route.limited for _, headers in answers)


@pytest.mark.parametrize("playground", [True, False])
@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("GET /health/nothing", 404),
        ("GET /health/nothing/at/all", 404),
        ("POST /health/live", 405),
        ("GET /playground/nothing", 404),
        ("DELETE /playground/nothing", 405),
        ("POST /docs", 405),
        ("GET /docs/nothing", 401),
        ("GET /metrics/nothing", 401),
        ("GET /v1", 401),
        ("GET /v1/chat/nothing", 401),
        ("DELETE /v1/models/fake", 401),
    ],
)
async def test_what_leads_nowhere_is_as_open_as_what_is_beside_it(
    worker: FakeWorker, start_router: Any, playground: bool, asked: str, status: int
) -> None:
    router = await start_router(worker.address, api_keys=KEYS, playground=playground)
    method, path = asked.split()
    async with router.http.request(method, f"{router.url}{path}") as response:
        assert response.status == (status if playground or "/playground" not in path else 404)
