import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.stack.playground.conftest import ON_A_PHONE, Open
from tests.stack.playground.faking import answer_with, canvas, chunk
from tests.stack.playground.talking import answer, ask, over, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANSWER = "I am TDI Demo, a small masked-diffusion language model."
LONGEST = 1024
HOUR = 3_600_000  # in milliseconds
COVERED = """(canvas) => {
    const isCovered = (tile) => {
        const { left, right, top, bottom } = tile.getBoundingClientRect();
        const corners = [[left + 2, top + 2], [right - 2, bottom - 2]];
        return corners.some(([x, y]) => document.elementFromPoint(x, y) !== tile);
    };
    const tiles = [...canvas.querySelectorAll(".tile")].filter((_, position) => position % 3 === 0); // some of each row
    return tiles.filter((tile) => (tile.focus(), isCovered(tile))).length;
}"""


async def asked(page: Page) -> Locator:
    card = await ask(page, "What are you?")
    await over(card)
    return card


async def test_the_scrubber_goes_back_and_forth_and_stops_at_either_end(page: Page) -> None:
    card = await asked(page)
    slider = card.get_by_role("slider", name="Pass shown")
    back, forth = (card.get_by_role("button", name=f"One pass {way}") for way in ("back", "forward"))
    masked_at_the_end = await tiles(card, "masked").count()
    await expect(forth).to_be_disabled()
    await slider.press("Home")
    await expect(back).to_be_disabled()
    await expect(tiles(card, "masked")).to_have_count(64)
    await expect(answer(card)).to_have_text("")
    await slider.press("ArrowRight")
    await expect(tiles(card, "fresh")).to_have_count(2)  # 32 passes for 64 tokens
    await expect(tiles(card, "masked")).to_have_count(62)
    await forth.click()
    await expect(tiles(card, "masked")).to_have_count(60)
    await back.click()
    await expect(tiles(card, "masked")).to_have_count(62)
    await slider.press("End")
    await expect(tiles(card, "masked")).to_have_count(masked_at_the_end)
    await expect(answer(card)).to_have_text(ANSWER)


async def test_an_answer_is_played_paused_and_played_again(open_page: Open, url: str) -> None:
    page = await open_page("about:blank", reduced_motion="no-preference")
    await page.clock.install(time=0)
    await page.goto(url.removesuffix("/v1"))
    await page.clock.pause_at(HOUR)  # which is later than the page could have taken to load
    await answer_with(page, *(chunk(canvas=canvas(step, ["a"] * 4, step - 1)) for step in range(1, 5)))
    card = await ask(page, "Hello")
    slider = card.get_by_role("slider")
    await expect(card).to_have_attribute("data-state", "done")
    await page.clock.run_for(160)
    await expect(slider).to_have_js_property("value", "1")
    await card.get_by_role("button", name="Pause", exact=True).click()
    await page.clock.run_for(2000)
    await expect(slider).to_have_js_property("value", "1")
    await card.get_by_role("button", name="Play", exact=True).click()
    await page.clock.run_for(2000)
    await over(card)
    await card.get_by_role("button", name="Replay", exact=True).click()
    await expect(slider).to_have_js_property("value", "0")
    await page.clock.run_for(2000)
    await over(card)


async def test_a_tile_tells_its_probability_its_alternatives_and_its_pass(page: Page) -> None:
    card = await asked(page)
    inspector = card.locator(".inspector")
    await expect(inspector).to_contain_text("Point at a tile")
    await tiles(card).nth(2).hover()
    await expect(inspector).to_contain_text(re.compile(r"Position 3, committed in pass \d+"))
    await expect(inspector.locator(".chosen")).to_contain_text("␣TDI")
    await expect(inspector.locator(".chosen")).to_contain_text("%")
    await expect(inspector.locator("li")).to_have_count(5)
    await tiles(card).nth(63).hover()
    await expect(inspector).to_contain_text("Position 64 was never filled in")
    await card.get_by_role("slider").press("Home")
    await expect(inspector).to_contain_text("Position 64 is masked")


async def test_tiles_are_reached_by_the_keyboard_and_shortcuts_are_left_to_the_browser(page: Page) -> None:
    card = await asked(page)
    await expect(card.locator('.tile[tabindex="0"]')).to_have_count(1)
    await tiles(card).first.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(card.get_by_role("button", name=re.compile(r"^Position 3: ␣TDI, .* sure, pass \d+$"))).to_be_focused()
    await expect(card.locator(".inspector")).to_contain_text("Position 3, committed in pass")
    for shortcut in ("Alt+ArrowLeft", "Control+End", "Meta+ArrowRight"):
        await page.keyboard.press(shortcut)
    await expect(tiles(card).nth(2)).to_be_focused()
    await page.keyboard.press("End")
    await expect(card.get_by_role("button", name="Position 64: masked")).to_be_focused()
    await page.keyboard.press("Home")
    await expect(tiles(card).first).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Shift+Tab")
    await expect(tiles(card).first).to_be_focused()


async def test_tiles_are_coloured_by_probability_or_by_pass_or_framed_where_the_system_chooses_colours(
    page: Page,
) -> None:
    card = await asked(page)

    async def styles(look: str, name: str) -> set[str]:
        shown = card.locator(f'.tile[data-look="{look}"]')
        return set(await shown.evaluate_all(f"all => all.map((one) => getComputedStyle(one).{name})"))

    by_pass = await styles("committed", "backgroundColor")
    await page.get_by_label("how sure the model was").check()
    assert by_pass.isdisjoint(await styles("committed", "backgroundColor"))
    await page.emulate_media(forced_colors="active")
    await card.get_by_role("slider").press("ArrowLeft")
    assert await styles("masked", "borderTopWidth") == await styles("committed", "borderTopWidth") == {"1px"}
    assert await styles("fresh", "borderTopWidth") == {"3px"}


@pytest.mark.parametrize("options", [{}, ON_A_PHONE], ids=["desktop", "phone"])
async def test_every_tile_of_the_longest_canvas_comes_into_sight_while_the_box_is_shown(
    open_page: Open, options: dict[str, Any]
) -> None:
    page = await open_page(**options)
    tokens: list[str | None] = [" river", ",", " canvas", "a"] * (LONGEST // 4)
    await answer_with(page, chunk("whole", canvas=canvas(1, tokens, *range(LONGEST))))
    card = await ask(page, "Hello")
    await over(card)
    assert await card.locator(".canvas").evaluate(COVERED) == 0
    box = card.locator(".inspector")
    await tiles(card).nth(LONGEST // 2).focus()
    await expect(box).to_be_in_viewport(ratio=1)
    await tiles(card).last.hover()
    await expect(box).to_contain_text(f"Position {LONGEST}, committed in pass 1")
    for shown in (box, tiles(card).last):
        await expect(shown).to_be_in_viewport(ratio=1)
