import json
import re
import subprocess
import sys

import pytest
from playwright.async_api import Page, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.talking import answer, ask, choose, copied, over, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRICKY = """It's "quoted": a\\b, $HOME `pwd` ünd 🌍"""


def printed_by(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


async def test_copied_code_gives_the_same_answer(page: Page) -> None:
    await choose(page, seed=7, rule="threshold", threshold=0.7, kv_cache="prefix")
    card = await ask(page, TRICKY)
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
        "messages": [{"role": "user", "content": TRICKY}],
    }
    reply = json.loads(printed_by("bash", "-c", curl.replace("curl ", "curl -sS ", 1)))
    assert reply["choices"][0]["message"]["content"] == shown
    python = await copied(page, card, "Python")
    assert "extra_body" in python
    assert printed_by(sys.executable, "-c", python) == f"{shown}\n"


async def test_a_gap_between_two_texts_is_filled_in_and_its_copied_code_gives_the_same(page: Page) -> None:
    await page.get_by_label("Fill in", exact=True).check()
    form = page.locator(".fields.fill")
    await form.get_by_label("Message").fill("Count to 7")
    await form.get_by_label("Text before").fill("1, 2")
    await form.get_by_label("Text after").fill(", 6, 7")
    await form.get_by_label("Tokens in between").fill("9")
    await page.get_by_role("button", name="Send").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_have_text(", 3, 4, 5")
    await expect(tiles(card)).to_have_count(9)
    await expect(page.locator(".said")).to_contain_text("1, 29 tokens, 6, 7")
    assert printed_by(sys.executable, "-c", await copied(page, card, "Python")) == ", 3, 4, 5\n"


async def test_where_the_clipboard_is_out_of_reach_the_code_is_shown(open_page: Open, url: str) -> None:
    page = await open_page("about:blank")
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await page.goto(url.removesuffix("/v1"))
    card = await ask(page, "Spell river")
    await card.get_by_role("button", name="Copy as curl").click()
    dialog = page.get_by_role("dialog", name="The request as curl")
    await expect(dialog.get_by_role("textbox")).to_have_value(re.compile("^curl .*Spell river", re.DOTALL))
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_have_count(0)
