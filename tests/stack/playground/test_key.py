import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from testing.folders import ROOT
from testing.stack import address_of_worker
from tests.stack.playground.conftest import Open
from tests.stack.playground.faking import CHAT
from tests.stack.playground.talking import answer, ask, copied, enter_key, key_field, message_field, model_field, over

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-playground"


@pytest.fixture(scope="module")
def keyed(url: str) -> Iterator[str]:
    """Another router with keys, before the same worker."""
    command = [sys.executable, "-m", "router", "--port=0", f"--workers={address_of_worker(url)}"]
    environment = {**os.environ, "TDI_ROUTER__API_KEYS": json.dumps({"alice": KEY})}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as router:
        assert router.stderr
        yield next(found[0] for line in router.stderr if (found := re.search(r"http://[\d.:]+", line)))
        router.terminate()
        router.stderr.read()


async def test_a_key_is_asked_for_kept_by_the_tab_alone_and_not_copied(open_page: Open, keyed: str) -> None:
    page = await open_page(keyed)
    await expect(page.get_by_role("alert")).to_contain_text("API key")
    field = key_field(page)
    await expect(field).to_be_focused()
    await message_field(page).fill("Spell river")
    await message_field(page).press("Enter")
    await expect(field).to_be_focused()
    await expect(message_field(page)).to_have_value("Spell river")
    for wrong, problem in {"sk-another": "does not accept this API key", "“sk”": "characters that no key has"}.items():
        await enter_key(page, wrong)
        await expect(page.get_by_role("alert")).to_contain_text(problem)
        await expect(field).to_be_focused()
    await enter_key(page, KEY)
    await expect(model_field(page)).to_have_value("tdi-demo")
    await expect(page.get_by_role("alert")).to_have_count(0)
    card = await ask(page, "Spell river")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")
    code = await copied(page, card, "curl")
    assert "$TDI_API_KEY" in code
    assert KEY not in code + page.url
    assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    await page.route(CHAT, lambda route: route.fulfill(status=401, json={"error": {"message": "No."}}))
    await ask(page, "Spell river")
    await expect(field).to_be_focused()
    await page.reload()
    await expect(field).to_have_value("")
    await expect(page.get_by_role("alert")).to_contain_text("API key")
