import re
from math import log

import pytest
from playwright.async_api import Locator, Page, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.faking import answer_with, canvas, chunk
from tests.stack.playground.talking import answer, ask, choose, over, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANSWER = "I am TDI Demo, a small masked-diffusion language model."


async def asked(page: Page) -> Locator:
    card = await ask(page, "What are you?")
    await over(card)
    return card


async def test_the_scrubber_goes_back_and_forth(page: Page) -> None:
    card = await asked(page)
    slider = card.get_by_role("slider", name="Pass shown")
    masked_at_the_end = await tiles(card, "masked").count()
    await slider.press("Home")
    await expect(tiles(card, "masked")).to_have_count(64)
    await expect(answer(card)).to_have_text("")
    await slider.press("ArrowRight")
    await expect(tiles(card, "fresh")).to_have_count(2)  # 32 passes for 64 tokens
    await expect(tiles(card, "masked")).to_have_count(62)
    await slider.press("ArrowRight")
    await expect(tiles(card, "masked")).to_have_count(60)
    await slider.press("ArrowLeft")
    await expect(tiles(card, "masked")).to_have_count(62)
    await slider.press("End")
    await expect(tiles(card, "masked")).to_have_count(masked_at_the_end)
    await expect(answer(card)).to_have_text(ANSWER)


async def test_buttons_go_pass_by_pass_and_stop_at_either_end(page: Page) -> None:
    card = await asked(page)
    back, forth = (card.get_by_role("button", name=f"One pass {way}") for way in ("back", "forward"))
    passes = await tiles(card, "masked").count()
    await back.click()
    assert await tiles(card, "masked").count() == passes + 2
    await forth.click()
    await expect(tiles(card, "masked")).to_have_count(passes)
    await expect(forth).to_be_disabled()
    await card.get_by_role("slider").press("Home")
    await expect(back).to_be_disabled()


async def test_a_finished_answer_can_be_played_again(open_page: Open) -> None:
    page = await open_page(reduced_motion="no-preference")
    card = await asked(page)
    await card.get_by_role("button", name="Replay").click()
    await expect(answer(card)).not_to_have_text(ANSWER)
    await over(card)
    await expect(answer(card)).to_have_text(ANSWER)
    await card.get_by_role("button", name="Replay").click()
    await card.get_by_role("button", name="Pause").click()
    shown = await card.get_by_role("slider").input_value()
    assert 0 < 16 - int(shown) <= 16
    await expect(card.get_by_role("button", name="Play", exact=True)).to_be_visible()


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


async def test_alternatives_that_are_spelled_alike_are_told_apart(page: Page) -> None:
    half, other_half = (
        {"token": "�", "logprob": log(share), "bytes": [byte]} for share, byte in ((0.4, 159), (0.5, 226))
    )
    committed = {**half, "position": 0, "top_logprobs": [other_half, half]}
    await answer_with(page, chunk(canvas={"step": 1, "tokens": ["�"], "committed": [committed]}))
    card = await ask(page, "Hello")
    await over(card)
    await tiles(card).first.hover()
    await expect(card.locator(".inspector .chosen .share")).to_have_text("40 %")
    await expect(card.locator(".inspector .share")).to_have_text(["40 %", "50 %"])


async def test_a_token_that_spells_nothing_is_told_of_all_the_same(page: Page) -> None:
    await answer_with(page, chunk(canvas=canvas(1, [""], 0, probability=0.5)))
    card = await ask(page, "Hello")
    await over(card)
    await card.get_by_role("button", name="Position 1: ◇, 50 % sure, pass 1").hover()
    await expect(card.locator(".inspector .token")).to_have_text("◇")


async def test_shortcuts_of_the_browser_are_left_to_it(page: Page) -> None:
    card = await asked(page)
    await tiles(card).nth(3).focus()
    for shortcut in ("Alt+ArrowLeft", "Control+End", "Meta+ArrowRight"):
        await page.keyboard.press(shortcut)
    await expect(tiles(card).nth(3)).to_be_focused()


async def test_tiles_are_reached_and_told_by_the_keyboard(page: Page) -> None:
    card = await asked(page)
    await expect(card.locator('.tile[tabindex="0"]')).to_have_count(1)
    await tiles(card).first.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(card.get_by_role("button", name=re.compile(r"^Position 3: ␣TDI, .* sure, pass \d+$"))).to_be_focused()
    await expect(card.locator(".inspector")).to_contain_text("Position 3, committed in pass")
    await page.keyboard.press("End")
    await expect(card.get_by_role("button", name="Position 64: masked")).to_be_focused()
    await page.keyboard.press("Home")
    await expect(tiles(card).first).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Shift+Tab")
    await expect(tiles(card).first).to_be_focused()


async def test_tiles_can_be_coloured_by_probability_or_by_pass(page: Page) -> None:
    card = await asked(page)

    async def colours() -> set[str]:
        shown = card.locator('.tile[data-look="committed"]')
        return set(await shown.evaluate_all("all => all.map((one) => getComputedStyle(one).backgroundColor)"))

    by_pass = await colours()
    await page.get_by_label("how sure the model was").check()
    by_probability = await colours()
    assert by_pass.isdisjoint(by_probability)


async def test_what_lies_behind_the_end_of_an_answer_is_marked(page: Page) -> None:
    card = await asked(page)
    beyond = card.locator('.tile[data-look$="beyond"]')
    await expect(beyond).to_have_count(64 - 13)
    await card.get_by_role("slider").press("Home")
    await expect(beyond).to_have_count(0)


async def test_blocks_end_where_they_are_set_to_end(page: Page) -> None:
    await choose(page, max_tokens=40, block_length=16, steps=20)
    card = await asked(page)
    lengths = await card.locator(".block").evaluate_all("all => all.map((block) => block.children.length)")
    assert lengths == [16, 16, 8]
