import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.stack.playground.conftest import DESKTOP, ON_A_PHONE, PHONE, Open
from tests.stack.playground.faking import answer_with, canvas, chunk
from tests.stack.playground.talking import answer, ask, choose, message_field, over, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def assert_accessible(page: Page) -> None:
    """On a phone by night, and on a desktop by day."""
    await page.set_viewport_size(PHONE)
    await page.emulate_media(color_scheme="dark")
    by_night = await Axe().run(page)
    assert not by_night.violations_count, by_night.generate_report()
    await page.set_viewport_size(DESKTOP)
    await page.emulate_media(color_scheme="light")
    by_day = await Axe().run(page)
    assert not by_day.violations_count, by_day.generate_report()


async def test_axe_finds_nothing_to_object_to(page: Page) -> None:
    await assert_accessible(page)
    card = await ask(page, "What are you?")
    await over(card)
    await tiles(card).first.focus()
    await card.get_by_role("button", name="One pass back").click()
    await page.get_by_label("Compare two settings").check()
    await page.get_by_label("how sure the model was").check()
    await ask(page, "too long " * 2000)
    await expect(page.get_by_role("alert")).to_have_count(2)
    await assert_accessible(page)
    await page.get_by_label("Fill in", exact=True).check()
    await page.get_by_text("API key").click()
    await assert_accessible(page)


async def test_everything_is_done_with_the_keyboard(page: Page) -> None:
    await page.keyboard.type("Spell river")
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator(".turn")).to_have_count(0)
    await page.keyboard.press("Enter")
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(message_field(page)).to_be_focused()
    passed: list[str] = []
    while "tile" not in passed:
        await page.keyboard.press("Shift+Tab")
        passed.append(await page.evaluate("document.activeElement.className"))
        assert len(passed) < 20


@pytest.mark.parametrize("options", [{}, ON_A_PHONE], ids=["desktop", "phone"])
async def test_the_answer_to_an_example_stays_in_sight_and_a_message_that_was_begun_stays(
    open_page: Open, options: dict[str, object]
) -> None:
    page = await open_page(**options)
    await message_field(page).fill("half a thou")
    await page.get_by_role("button", name="What are you?").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_be_in_viewport(ratio=1)
    await expect(tiles(card).first).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("button", name="Send")).to_be_focused()  # and not nothing, as the example is gone
    await expect(message_field(page)).to_have_value("half a thou")


async def test_a_tile_that_appears_under_a_resting_pointer_is_not_pointed_at(page: Page) -> None:
    await choose(page, max_tokens=512)
    await answer_with(page, chunk(canvas=canvas(1, ["a"] * 512, *range(512))))
    await page.get_by_role("button", name="Count to 7").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(card.locator(".inspector")).to_contain_text("Point at a tile")


async def test_a_phone_needs_no_scrolling_sideways(open_page: Open) -> None:
    page = await open_page(**ON_A_PHONE)
    await answer_with(page, chunk("-" * 90, canvas=canvas(1, ["-" * 90], 0)))
    await page.get_by_label("Compare two settings").check()
    await ask(page, "Hello")
    await expect(page.locator('.run[data-state="done"]')).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
