"""Where the focus is when the page is opened, and who keeps it."""

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from tests.stack.playground.conftest import ON_A_PHONE, Open
from tests.stack.playground.faking import COMES_BACK, MODELS
from tests.stack.playground.talking import answer, key_field, message_field, over

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = {"error": {"message": "No."}}


async def test_a_desktop_s_page_waits_for_a_message_as_soon_as_it_is_opened(page: Page) -> None:
    await expect(message_field(page)).to_be_focused()
    await page.keyboard.type("Spell river")
    await page.keyboard.press("Enter")
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")


async def test_a_phone_s_page_lets_no_keyboard_come_up_when_it_is_opened(open_page: Open) -> None:
    page = await open_page(**ON_A_PHONE)
    await expect(page.locator("body")).to_be_focused()


async def test_the_focus_stays_with_a_user_who_was_faster_than_the_list_of_models(open_page: Open, url: str) -> None:
    page = await open_page("about:blank")
    waiting: asyncio.Queue[Route] = asyncio.Queue()
    await page.route(MODELS, waiting.put)
    await page.goto(url.removesuffix("/v1"))
    refused = await waiting.get()
    await page.keyboard.type("Spell")
    await refused.fulfill(status=401, json=REFUSED)
    await expect(key_field(page)).to_be_visible()
    await page.keyboard.type(" river")
    await expect(message_field(page)).to_have_value("Spell river")
    system = page.get_by_label("System message")
    await system.focus()
    await page.evaluate(COMES_BACK)
    async with page.expect_response(MODELS):
        await (await waiting.get()).fulfill(status=401, json=REFUSED)
    await page.keyboard.type("Be brief.")
    await expect(system).to_have_value("Be brief.")
    await expect(key_field(page)).to_have_value("")
