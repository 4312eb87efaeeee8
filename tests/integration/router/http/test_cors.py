"""Pages of allowed origins can use the server from within a browser, and no others."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from testing.waiting import eventually
from testing.worker import FakeWorker

ORIGIN = "http://localhost:8080"
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}
EXPOSED = {"x-request-id", "retry-after", "x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens"}


async def asked(router: Any, method: str, path: str, headers: Mapping[str, str], **kwargs: Any) -> tuple[int, Any]:
    async with router.http.request(method, f"{router.url}{path}", headers=headers, **kwargs) as response:
        await response.read()
        return response.status, response.headers


def is_readable(headers: Any, origin: str = ORIGIN) -> bool:
    """Whether a browser would show the answer, and what it says of limits and ids, to a page of this origin."""
    exposed = {name.strip() for name in headers.get("Access-Control-Expose-Headers", "").split(",")}
    return headers.get("Access-Control-Allow-Origin") == origin and exposed >= EXPOSED and "Origin" in headers["Vary"]


@pytest.fixture
async def open_router(worker: FakeWorker, start_router: Any) -> Any:
    return await start_router(
        worker.address,
        allowed_origins=(ORIGIN,),
        api_keys={"alice": "sk-alice"},
        requests_per_minute=1,
        max_body_bytes=1024,
    )


async def test_a_preflight_is_answered_without_a_key_and_allows_what_it_asks_for(open_router: Any) -> None:
    for _ in range(3):  # more often than the limit of requests
        status, headers = await asked(open_router, "OPTIONS", CHAT, PREFLIGHT)
        assert status == 204
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert set(headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "POST", "OPTIONS"}
    assert headers["Access-Control-Allow-Headers"] == "authorization, content-type, x-stainless-os"
    assert int(headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in headers["Vary"]
    assert "Access-Control-Allow-Private-Network" not in headers
    authorized = {"Origin": ORIGIN, "Authorization": "Bearer sk-alice"}
    assert (await asked(open_router, "POST", CHAT, authorized, json=ASK))[0] == 200


async def test_a_preflight_from_a_public_network_is_allowed_where_it_asks_for_that(open_router: Any) -> None:
    asks = {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
    _, headers = await asked(open_router, "OPTIONS", CHAT, asks)
    assert headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize(
    "origin", ["http://localhost:8081", "https://localhost:8080", "http://evil.example", "null", ""]
)
async def test_another_origin_is_told_nothing(open_router: Any, origin: str) -> None:
    status, headers = await asked(open_router, "OPTIONS", CHAT, {**PREFLIGHT, "Origin": origin})
    assert status == 401
    assert not [name for name in headers if name.startswith("Access-Control")]
    assert headers["Vary"] == "Origin"


async def test_without_allowed_origins_no_answer_speaks_of_them(router: Any) -> None:
    status, headers = await asked(router, "OPTIONS", CHAT, PREFLIGHT)
    assert (status, headers["Allow"]) == (405, "POST")
    _, of_reply = await asked(router, "POST", CHAT, {"Origin": ORIGIN}, json=ASK)
    for each in (headers, of_reply):
        assert "Vary" not in each
        assert not [name for name in each if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "null", "chrome-extension://abc", "HTTP://Shouting.example"]
)
async def test_any_origin_can_be_allowed(worker: FakeWorker, start_router: Any, origin: str) -> None:
    router = await start_router(worker.address, allowed_origins=("*",))
    assert (await asked(router, "OPTIONS", CHAT, {**PREFLIGHT, "Origin": origin}))[0] == 204
    _, headers = await asked(router, "POST", CHAT, {"Origin": origin}, json=ASK)
    assert is_readable(headers, origin)


async def test_pages_in_files_can_be_allowed(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, allowed_origins=("null",))
    assert (await asked(router, "OPTIONS", CHAT, {**PREFLIGHT, "Origin": "null"}))[0] == 204
    assert (await asked(router, "OPTIONS", CHAT, PREFLIGHT))[0] == 405


@pytest.mark.parametrize("stream", [False, True])
async def test_replies_can_be_read(worker: FakeWorker, start_router: Any, stream: bool) -> None:
    router = await start_router(worker.address, allowed_origins=(ORIGIN,), requests_per_minute=5)
    status, headers = await asked(router, "POST", CHAT, {"Origin": ORIGIN}, json={**ASK, "stream": stream})
    assert status == 200
    assert is_readable(headers)


@pytest.mark.parametrize(
    ("line", "key", "body", "expected"),
    [
        (f"POST {CHAT}", None, ASK, 401),
        (f"POST {CHAT}", "sk-alice", {**ASK, "model": "other"}, 404),
        (f"POST {CHAT}", "sk-alice", {**ASK, "temperature": 9}, 400),
        (f"POST {CHAT}", "sk-alice", {**ASK, "user": "x" * 1024}, 413),
        ("GET /nowhere", "sk-alice", None, 404),
        (f"GET {CHAT}", "sk-alice", None, 405),
        ("GET /v1/models", None, None, 401),
    ],
)
async def test_errors_can_be_read(open_router: Any, line: str, key: str | None, body: Any, expected: int) -> None:
    headers = {"Origin": ORIGIN, **({"Authorization": f"Bearer {key}"} if key else {})}
    status, told = await asked(open_router, *line.split(), headers, json=body)
    assert status == expected
    assert is_readable(told)


async def test_a_used_up_limit_can_be_read(open_router: Any) -> None:
    headers = {"Origin": ORIGIN, "Authorization": "Bearer sk-alice"}
    await asked(open_router, "POST", CHAT, headers, json=ASK)
    status, told = await asked(open_router, "POST", CHAT, headers, json=ASK)
    assert status == 429
    assert told["Retry-After"]
    assert is_readable(told)


async def test_what_is_refused_before_any_handler_can_be_read_where_its_origin_is_known(open_router: Any) -> None:
    status, told = await asked(open_router, "POST", CHAT, {"Origin": ORIGIN, "Expect": "miracles"}, json=ASK)
    assert status == 417
    assert is_readable(told)


async def test_what_varies_already_varies_by_origin_too(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, allowed_origins=(ORIGIN,))
    _, headers = await asked(router, "GET", "/", {})
    assert headers["Vary"] == "Accept-Encoding, Origin"
    assert "Access-Control-Allow-Origin" not in headers


async def test_names_of_headers_that_are_none_are_not_sent_back(open_router: Any) -> None:
    asks = {**PREFLIGHT, "Access-Control-Request-Headers": "content-type, x y, ,x-ä,x-fine"}
    status, headers = await asked(open_router, "OPTIONS", CHAT, asks)
    assert (status, headers["Access-Control-Allow-Headers"]) == (204, "content-type, x-fine")


@pytest.mark.parametrize(("origin", "level"), [(ORIGIN, "debug"), ("http://evil.example", "info")])
async def test_the_log_shows_preflights_that_are_refused_and_whose(open_router: Any, origin: str, level: str) -> None:
    with capture_logs() as logs:
        await asked(open_router, "OPTIONS", CHAT, {**PREFLIGHT, "Origin": origin})
        await eventually(lambda: any(line["event"] == "request" for line in logs))
    (line,) = [line for line in logs if line["event"] == "request"]
    assert line["log_level"] == level
    assert line.get("origin") == (None if level == "debug" else origin)
    json.dumps(line)
