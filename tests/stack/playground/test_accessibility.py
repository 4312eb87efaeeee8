import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.stack.playground.conftest import DESKTOP, PHONE, Open
from tests.stack.playground.faking import answer_with, canvas, chunk
from tests.stack.playground.talking import answer, ask, choose, message_field, model_field, over, sides, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def assert_accessible(page: Page) -> None:
    found = await Axe().run(page)
    assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_axe_finds_nothing_to_object_to(open_page: Open, scheme: str, viewport: dict[str, int]) -> None:
    page = await open_page(color_scheme=scheme, viewport=viewport)
    await expect(model_field(page)).to_have_value("tdi-demo")
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
    await message_field(page).focus()
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


async def test_the_focus_goes_with_the_button_that_takes_the_place_of_another(page: Page) -> None:
    await choose(page, max_tokens=900, block_length=900, steps=900)
    await message_field(page).fill("What are you?")
    await page.get_by_role("button", name="Send").press("Enter")
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Send")).to_be_focused()


async def test_a_screen_reader_is_told_the_answer_once_it_is_whole(page: Page) -> None:
    card = await ask(page, "Spell river")
    await over(card)
    await expect(page.locator("#announcer")).to_have_text("Answer: r-i-v-e-r")


async def test_nothing_moves_where_the_system_asks_for_stillness(page: Page) -> None:
    await page.evaluate("addEventListener('animationstart', () => complain('animation'), true)")
    await page.evaluate("addEventListener('transitionstart', () => complain('transition'), true)")
    card = await ask(page, "Spell river")
    await over(card)
    await expect(card.get_by_role("button", name="Replay")).to_be_hidden()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_the_answer_stays_in_sight_while_it_is_written_and_after(
    open_page: Open, viewport: dict[str, int]
) -> None:
    page = await open_page(viewport=viewport)
    await page.get_by_role("button", name="What are you?").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_be_in_viewport(ratio=1)
    await expect(tiles(card).first).to_be_in_viewport(ratio=1)


async def test_a_tile_that_appears_under_a_resting_pointer_is_not_pointed_at(page: Page) -> None:
    await choose(page, max_tokens=512, block_length=512, steps=32)
    await page.get_by_role("button", name="Count to 7").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(card.locator(".inspector")).to_contain_text("Point at a tile")


async def test_tiles_can_be_told_apart_where_the_system_chooses_the_colours(open_page: Open) -> None:
    page = await open_page(forced_colors="active")
    card = await ask(page, "What are you?")
    await over(card)
    widths = {
        look: await tiles(card, look).first.evaluate("tile => getComputedStyle(tile).borderTopWidth")
        for look in ("masked", "committed", "fresh")
    }
    assert widths["masked"] == widths["committed"] == "1px"
    assert widths["fresh"] == "3px"


async def test_a_focused_tile_is_not_covered_by_what_stays_at_the_bottom(open_page: Open) -> None:
    page = await open_page(viewport={"width": 1280, "height": 720})
    await choose(page, max_tokens=256, steps=16)
    card = await ask(page, "Count to 7")
    await over(card)
    await tiles(card).first.focus()
    await page.keyboard.press("End")
    covered = """tile => {
        const { x, y, width, height } = tile.getBoundingClientRect();
        return document.elementFromPoint(x + width / 2, y + height / 2) !== tile;
    }"""
    assert not await tiles(card).last.evaluate(covered)


async def test_a_long_token_does_not_widen_a_phone(open_page: Open) -> None:
    page = await open_page(viewport=PHONE)
    await answer_with(page, chunk("-" * 90, canvas=canvas(1, ["-" * 90], 0)))
    card = await ask(page, "Hello")
    await over(card)
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_text_that_runs_from_right_to_left_does_so(page: Page) -> None:
    await answer_with(page, chunk("مرحبا"))
    card = await ask(page, "سلام")
    await over(card)
    for shown in (answer(card), page.locator(".said p")):
        assert await shown.evaluate("text => getComputedStyle(text).direction") == "rtl"


async def test_a_phone_needs_no_scrolling_sideways(open_page: Open) -> None:
    page = await open_page(viewport=PHONE)
    await page.get_by_label("Compare two settings").check()
    await ask(page, "What are you?")
    await over(sides(page)[1])
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
