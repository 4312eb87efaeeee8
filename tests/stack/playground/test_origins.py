"""Pages of other origins in a real browser, which asks beforehand and keeps answers from those that are not allowed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Browser

from testing.folders import ROOT
from testing.stack import MODEL, address_of_worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-page"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Spell river"}]}
FETCH = """async ([url, key, body]) => {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", "x-stainless-os": "Linux" };
  try {
    const response = await fetch(url, { method: "POST", headers, body });
    return [response.status, await response.text(), response.headers.get("x-request-id")];
  } catch (failure) {
    return [failure.name, "", null];
  }
}"""


@pytest.fixture(scope="module")
def allowed(url: str) -> str:
    """The stack's own origin: other than the router's below, as its port is another one."""
    return url.removesuffix("/v1")


@pytest.fixture(scope="module")
def chat_url(url: str, allowed: str) -> Iterator[str]:
    """Of another router, with a key and an allowed origin, before the same worker."""
    command = [sys.executable, "-m", "router", "--port=0", f"--workers={address_of_worker(url)}"]
    environment = {
        **os.environ,
        "TDI_ROUTER__API_KEYS": json.dumps({"page": KEY}),
        "TDI_ROUTER__ALLOWED_ORIGINS": json.dumps([allowed]),
    }
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as router:
        assert router.stderr
        found = next(found[0] for line in router.stderr if (found := re.search(r"http://[\d.:]+", line)))
        next(line for line in router.stderr if "state=serving" in line)
        yield f"{found}/v1/chat/completions"
        router.terminate()
        router.stderr.read()


async def fetched(browser: Browser, origin: str, *arguments: str) -> list[Any]:
    async with await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(f"{origin}/version")  # any page without a policy of its own
        result: list[Any] = await page.evaluate(FETCH, list(arguments))
    return result


@pytest.mark.parametrize("stream", [False, True])
async def test_a_page_of_an_allowed_origin_reads_replies(
    browser: Browser, allowed: str, chat_url: str, stream: bool
) -> None:
    body = json.dumps({**ASK, "stream": stream})
    status, text, request_id = await fetched(browser, allowed, chat_url, KEY, body)
    assert status == 200
    assert "r-i-v-e-r" in text
    assert request_id


async def test_a_page_of_an_allowed_origin_reads_errors(browser: Browser, allowed: str, chat_url: str) -> None:
    status, text, request_id = await fetched(browser, allowed, chat_url, "sk-other", json.dumps(ASK))
    assert (status, json.loads(text)["error"]["code"]) == (401, "invalid_api_key")
    assert request_id


async def test_a_page_of_another_origin_reads_nothing(browser: Browser, allowed: str, chat_url: str) -> None:
    another = allowed.replace("127.0.0.1", "localhost")
    assert await fetched(browser, another, chat_url, KEY, json.dumps(ASK)) == ["TypeError", "", None]
