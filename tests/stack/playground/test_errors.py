import re

import pytest
from playwright.async_api import Page, expect

from tests.stack.playground.faking import answer_with, canvas, chunk
from tests.stack.playground.talking import answer, ask, choose, message_field, over, setting

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"
FROM_THE_RIGHT = "مرحبا "


async def test_an_error_is_shown_as_a_sentence_its_message_given_back_and_the_page_goes_on(page: Page) -> None:
    card = await ask(page, "too long " * 2000)
    await expect(card.get_by_role("alert")).to_contain_text("tokens")
    await expect(card).to_have_attribute("data-state", "failed")
    await expect(card.locator(".canvas")).to_be_hidden()
    await expect(message_field(page)).to_have_value(re.compile("^too long"))
    await expect(page.locator("#announcer")).to_have_text("")  # the alert has said it
    card = await ask(page, "Spell river")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")


async def test_a_setting_that_is_out_of_range_is_pointed_out_before_anything_is_sent(page: Page) -> None:
    await choose(page, temperature=3)
    await ask(page, "Spell river")
    await expect(page.locator(".turn")).to_have_count(0)
    field = setting(page, "temperature")
    await expect(field).to_be_focused()
    assert await field.evaluate("field => field.validationMessage")
    await choose(page, temperature=0, max_tokens=16)
    await page.keyboard.press("Tab")
    for name in ("steps", "block_length"):
        await expect(setting(page, name)).to_have_value("16")  # and not longer than the canvas
    await page.get_by_role("button", name="Send").click()
    await expect(answer(page.get_by_role("region", name="Answer"))).to_have_text("r-i-v-e-r")


async def test_markup_stays_text_wherever_it_is_shown_and_runs_as_its_script_does(page: Page) -> None:
    text = FROM_THE_RIGHT + EVIL
    shown = canvas(1, [text], 0, probability=0.5)
    shown["committed"][0]["top_logprobs"].append({"token": "<b>", "logprob": -2, "bytes": []})
    await answer_with(page, chunk(text, canvas=shown), {"error": {"message": EVIL}})
    card = await ask(page, text)
    await expect(answer(card)).to_have_text(text)
    await expect(page.locator(".said")).to_have_text(text)
    for written in (answer(card), page.locator(".said p")):
        assert await written.evaluate("text => getComputedStyle(text).direction") == "rtl"
    await expect(card.get_by_role("alert")).to_have_text(EVIL)
    await card.locator(".tile").hover()
    await expect(card.locator(".inspector .chosen")).to_contain_text(text)
    await expect(page.locator("main :is(img, b, script)")).to_have_count(0)
    assert "hit" not in await page.title()
