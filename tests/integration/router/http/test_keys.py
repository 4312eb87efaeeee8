import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from router.errors import InvalidApiKeyError
from router.http.keys import API_KEYS, ApiKeys, is_stranger, warn_if_all_can_read
from testing.worker import FakeWorker
from textdiffusion.keys import parse_keys

KEYS = {"alice": "sk-alice", "bob": "sk-bob"}
ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def keys() -> ApiKeys:
    return ApiKeys(parse_keys(KEYS))


@pytest.fixture
async def router(worker: FakeWorker, start_router: Any) -> Any:
    return await start_router(worker.address, api_keys=KEYS)


async def status_of(router: Any, method: str, path: str, key: str | None = None, **kwargs: Any) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with router.http.request(method, f"{router.url}{path}", headers=headers, **kwargs) as response:
        return int(response.status)


async def status_line(router: Any, head: str) -> bytes:
    async with router.connection() as (reader, writer):
        writer.write(f"{head}\r\nHost: localhost\r\n\r\n".encode())
        return bytes(await asyncio.wait_for(reader.readline(), 60))


@pytest.mark.parametrize(
    "authorization", ["Bearer sk-bob", "bearer sk-bob", "BEARER sk-bob", "  Bearer   sk-bob  ", "Bearer\tsk-bob"]
)
def test_a_key_has_the_name_that_it_was_given(keys: ApiKeys, authorization: str) -> None:
    assert keys.name_of(authorization) == "bob"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "sk-bob",
        "Basic sk-bob",
        "Bearer sk-bo",
        "Bearer sk-bobb",
        "Bearer SK-BOB",
        "Bearer bob",
        "Bearer sk-bob sk-bob",
        "Bearer sk-alice,sk-bob",
        "Bearer sk-bob\x00",
        "Bearer sk-bób",
        "Bearer sk-bob\udcff",
        "Bearer " + "x" * 8000,
    ],
)
def test_anything_else_is_nobody(keys: ApiKeys, authorization: str | None) -> None:
    with pytest.raises(InvalidApiKeyError):
        keys.name_of(authorization)


def test_a_digest_is_no_key(keys: ApiKeys) -> None:
    for digest in parse_keys(KEYS).values():
        with pytest.raises(InvalidApiKeyError):
            keys.name_of(f"Bearer {digest.get_secret_value()}")


def test_every_key_is_compared_whichever_it_is(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = set()

    def compare(ours: bytes, given: bytes) -> bool:
        compared.add(ours)
        return ours == given

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert keys.name_of("Bearer sk-alice") == "alice"
    assert len(compared) == len(KEYS)


def test_keys_are_kept_as_digests_only(keys: ApiKeys) -> None:
    assert "alice" in repr(vars(keys))
    assert "sk-" not in repr(vars(keys))


async def test_the_openai_client_gets_in_with_a_key_and_only_so(router: Any) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        await router.openai.chat.completions.create(**ASK)
    assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
    assert refused.value.response.headers["WWW-Authenticate"] == "Bearer"
    client = router.openai.with_options(api_key="sk-bob")
    assert (await client.chat.completions.create(**ASK)).choices[0].message.content
    assert (await client.models.list()).data[0].id == "fake"


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /v1/models/fake",
        "GET /v1/nothing",
        "DELETE /v1/models",
        "HEAD /v1/models",
        "OPTIONS /v1/models",
        "OPTIONS /nothing",
        "GET /v1%2fmodels",
        "GET //v1/models",
        "GET http://x/v1/models",
        "POST /tokenize",
        "GET /nothing",
        "GET /healthy",
    ],
)
async def test_what_is_not_open_needs_a_key_even_where_there_is_nothing(router: Any, request_line: str) -> None:
    assert b" 401 " in await status_line(router, f"{request_line} HTTP/1.1")


@pytest.mark.parametrize("path", ["/health/../v1/models", "/health/%2e%2e/v1/models", "/health%2f..%2fv1/models"])
async def test_what_only_looks_open_leads_nowhere(router: Any, path: str) -> None:
    assert b" 404 " in await status_line(router, f"GET {path} HTTP/1.1")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/healthz"])
async def test_health_is_open(router: Any, path: str) -> None:
    assert await status_of(router, "GET", path) == 200


@pytest.mark.parametrize("path", ["/metrics", "/version", "/docs", "/openapi.json", "/"])
async def test_what_tells_about_the_server_is_open(router: Any, path: str) -> None:
    assert await status_of(router, "GET", path) in (200, 404)


async def test_a_key_does_not_lead_to_what_is_not_there(router: Any) -> None:
    assert await status_of(router, "GET", "/v1/nothing", "sk-bob") == 404


async def test_a_stranger_is_refused_before_the_body_is_read(router: Any) -> None:
    assert b" 401 " in await status_line(router, "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100")


async def test_without_keys_nobody_needs_one_and_any_is_taken(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address)
    for key in (None, "sk-anything"):
        assert await status_of(router, "POST", "/v1/chat/completions", key, json=ASK) == 200


@pytest.mark.parametrize(
    ("peer", "here", "headers", "expected"),
    [
        (("127.0.0.1", 5000), ("127.0.0.2", 8000), {}, False),
        (("::1", 5000, 0, 0), ("::1", 8000, 0, 0), {}, False),
        (("192.0.2.7", 5000), ("192.0.2.7", 8000), {}, False),
        (("192.0.2.8", 5000), ("192.0.2.7", 8000), {}, True),
        (("fe80::2%eth0", 5000, 0, 2), ("fe80::1%eth0", 8000, 0, 2), {}, True),
        (None, ("192.0.2.7", 8000), {}, True),
        (("127.0.0.1", 5000), ("127.0.0.1", 8000), {"Forwarded": "for=192.0.2.8"}, True),
        (("127.0.0.1", 5000), ("127.0.0.1", 8000), {"x-forwarded-for": ""}, True),
        (("192.0.2.8", 5000), ("192.0.2.7", 8000), {"Authorization": "Bearer sk-bob"}, False),
        (("192.0.2.8", 5000), ("192.0.2.7", 8000), {"Authorization": "Bearer sk-b"}, True),
    ],
)
def test_strangers_have_no_key_and_are_not_here(
    keys: ApiKeys, peer: Any, here: Any, headers: dict[str, str], expected: bool
) -> None:
    app = web.Application()
    app[API_KEYS] = keys
    transport = Mock(get_extra_info={"peername": peer, "sockname": here}.get)
    request = make_mocked_request("GET", "/health", headers=headers, app=app, transport=transport)
    assert is_stranger(request) is expected


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_of_keys_that_everyone_can_read_is_warned_about(tmp_path: Path, mode: int, warned: bool) -> None:
    file = tmp_path / "keys.toml"
    file.touch()
    file.chmod(mode)
    with capture_logs() as logs:
        warn_if_all_can_read(file)
    assert [entry["path"] for entry in logs if entry["log_level"] == "warning"] == [str(file)] * warned
