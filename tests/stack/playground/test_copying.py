import json
import re
import subprocess
import sys

import pytest
from playwright.async_api import Locator, Page, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.talking import ask, choose, over

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRICKY = """It's "quoted": a\\b, $HOME `pwd` ünd 🌍"""


async def copied(page: Page, card: Locator, kind: str) -> str:
    await card.get_by_role("button", name=f"Copy as {kind}").click()
    await expect(card).to_contain_text(f"Copied as {kind}.")
    code: str = await page.evaluate("navigator.clipboard.readText()")
    return code


def printed_by(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


@pytest.mark.parametrize("message", ["Spell river", TRICKY])
async def test_copied_code_gives_the_same_answer(open_page: Open, message: str) -> None:
    page = await open_page(permissions=["clipboard-read", "clipboard-write"])
    await choose(page, seed=7, rule="threshold", threshold=0.7, kv_cache="prefix")
    card = await ask(page, message)
    await over(card)
    shown = await card.locator(".answer").text_content()
    curl = await copied(page, card, "curl")
    body = json.loads(re.search(r"-d '(.*)'$", curl, re.DOTALL)[1].replace("'\\''", "'"))
    assert body == {
        "model": "tdi-demo",
        "max_tokens": 64,
        "threshold": 0.7,
        "kv_cache": "prefix",
        "seed": 7,
        "messages": [{"role": "user", "content": message}],
    }
    reply = json.loads(printed_by("bash", "-c", curl.replace("curl ", "curl -sS ", 1)))
    assert reply["choices"][0]["message"]["content"] == shown
    python = await copied(page, card, "Python")
    assert "extra_body" in python
    assert printed_by(sys.executable, "-c", python) == f"{shown}\n"


async def test_copied_infilling_gives_the_same_text(open_page: Open) -> None:
    page = await open_page(permissions=["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Fill in a gap").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    assert printed_by(sys.executable, "-c", await copied(page, card, "Python")) == ", 3, 4, 5\n"


async def test_where_the_clipboard_is_out_of_reach_the_code_is_shown(open_page: Open) -> None:
    page = await open_page("about:blank")
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await page.goto((await open_page()).url)
    card = await ask(page, "Spell river")
    await card.get_by_role("button", name="Copy as curl").click()
    dialog = page.get_by_role("dialog", name="The request as curl")
    await expect(dialog.get_by_role("textbox")).to_have_value(re.compile("^curl .*Spell river", re.DOTALL))
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_have_count(0)
