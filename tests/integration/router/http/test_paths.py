"""A slash too many changes nothing, and a path that is nearly right is told which one was meant."""

from typing import Any

import pytest
from yarl import URL

from router.probes import probes
from testing.worker import FakeWorker

ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


async def answer(router: Any, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
    async with router.http.request(method, URL(f"{router.url}{path}", encoded=True), **kwargs) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/v1//models", "//v1///models//", "/v1/models/?x=1"])
async def test_slashes_too_many_lead_to_the_same_answer(router: Any, path: str) -> None:
    assert await answer(router, "GET", path) == await answer(router, "GET", "/v1/models")


@pytest.mark.parametrize("path", ["/v1/models/fake/", "/v1/models//fake"])
async def test_the_name_of_a_model_has_no_slash_at_its_end(router: Any, path: str) -> None:
    assert (await answer(router, "GET", path))[1]["id"] == "fake"


async def test_a_post_keeps_its_body_and_its_limit(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, requests_per_minute=1)
    assert (await answer(router, "POST", "/v1/chat/completions/", json=ASK))[0] == 200
    assert (await answer(router, "POST", "//v1/chat/completions", json=ASK))[0] == 429


@pytest.mark.parametrize("path", ["//v1/models", "/v1/models/", "/health//../v1/models", "//health/..//v1/models/"])
async def test_slashes_lead_round_no_key(worker: FakeWorker, start_router: Any, path: str) -> None:
    router = await start_router(worker.address, api_keys={"alice": "sk-alice"})
    assert (await answer(router, "GET", path))[0] in (401, 404)


async def test_other_paths_are_shown_as_they_were_sent(router: Any) -> None:
    _, body = await answer(router, "GET", "/v1%2Fmodels")
    assert body["error"]["message"] == "There is nothing at GET /v1%2Fmodels."


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/models/", "/v1/models"),
        ("/v1/v1/completions", "/v1/completions"),
        ("/v1/tokenize", "/tokenize"),
    ],
)
async def test_a_path_with_the_wrong_beginning_is_told_which_one_was_meant(router: Any, path: str, meant: str) -> None:
    status, body = await answer(router, "POST", path, json=ASK)
    assert status == 404
    assert body["error"]["message"].endswith(f" Did you mean {meant}?")


@pytest.mark.parametrize("draining", [False, True])
async def test_healthz_answers_as_readiness_does(router: Any, draining: bool) -> None:
    router.services.draining = draining
    assert await answer(router, "GET", "/healthz/") == await answer(router, "GET", "/health/ready")
    async with probes(router.services, "127.0.0.1", 0) as address, router.http.get(f"http://{address}/healthz/") as got:
        assert (got.status, await got.json()) == await answer(router, "GET", "/health/ready")
