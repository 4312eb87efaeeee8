from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.faking import COMES_BACK, MODELS, answer_with, canvas, chunk, offer_models
from tests.stack.playground.talking import ask, choose, message_field, model_field, over, setting

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def page_with(open_page: Open, url: str, models: dict[str, dict[str, Any]], longest: int = 1024) -> Page:
    page = await open_page("about:blank")
    await offer_models(page, models, longest)
    await page.goto(url.removesuffix("/v1"))
    await expect(model_field(page)).to_have_value(next(iter(models)))
    return page


async def test_whatever_a_model_does_by_default_can_be_set_and_sent(open_page: Open, url: str) -> None:
    """The form takes such numbers for valid, and cuts those that are too large for the model."""
    odd = {"cfg_scale": 0.25, "temperature": 0.33, "threshold": 0.925, "max_tokens": 4096, "block_length": 2048}
    page = await page_with(open_page, url, {"other": odd}, longest=1000)
    bodies = await answer_with(page, chunk("yes"))
    assert await setting(page, "max_tokens").input_value() == "64"
    await page.get_by_role("button", name="Use the server's defaults").click()
    await over(await ask(page, "Hello"))
    expected = {**odd, "max_tokens": 1000, "block_length": 1000}
    assert {name: bodies[0][name] for name in expected} == expected
    assert None not in bodies[0].values()


async def test_defaults_that_change_change_nothing_until_a_side_asks_for_them(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {"threshold": 0.9}})
    await page.get_by_label("Compare two settings").check()
    thresholds = page.locator('#settings [name="threshold"]')
    to_defaults = page.get_by_role("button", name="Use the server's defaults")
    await to_defaults.first.click()
    await offer_models(page, {"one": {"threshold": 0.5}}, longest=48)
    async with page.expect_response(MODELS):
        await model_field(page).focus()
    await expect(setting(page, "max_tokens")).to_have_attribute("max", "48")
    await expect(page.get_by_label("Tokens in between")).to_have_js_property("max", "48")
    for threshold in (thresholds.first, thresholds.last):
        await expect(threshold).to_have_value("0.9")
    await to_defaults.last.click()
    await expect(thresholds.last).to_have_value("0.5")
    await expect(thresholds.first).to_have_value("0.9")


async def test_each_model_keeps_its_settings(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {}, "two": {"temperature": 0.5}})
    bodies = await answer_with(page, chunk("yes"))
    await choose(page, seed=7)
    await model_field(page).select_option("two")
    temperature = setting(page, "temperature")
    await expect(temperature).to_have_value("0.5")
    card = await ask(page, "Hello")
    await expect(card).to_contain_text("two · steps 32")
    assert bodies[0]["model"] == "two"
    await model_field(page).select_option("one")
    await expect(setting(page, "seed")).to_have_value("7")


async def test_models_that_come_and_go_are_offered_and_the_chosen_one_stays(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {}, "two": {"temperature": 0.5}})
    await model_field(page).select_option("two")
    await message_field(page).focus()
    await offer_models(page, {"new": {}, "one": {}, "two": {"temperature": 0.5}})
    await model_field(page).focus()
    await expect(model_field(page).locator("option")).to_have_count(3)
    await expect(model_field(page)).to_have_value("two")
    await page.route(MODELS, lambda route: route.fulfill(json={"data": []}), times=1)
    await page.evaluate(COMES_BACK)
    await expect(page.get_by_role("alert")).to_contain_text("No worker has said yet")
    await model_field(page).select_option("new")  # from a list that is gone
    await expect(page.get_by_role("alert")).to_have_count(0)
    await choose(page, temperature=0.1)
    await model_field(page).select_option("two")
    await expect(setting(page, "temperature")).to_have_value("0.5")


async def test_a_canvas_that_grows_is_seen_growing(open_page: Open, url: str) -> None:
    grows = {"canvas": "grow", "max_tokens": 4, "block_length": 2, "steps": None, "steps_per_block": 2}
    page = await page_with(open_page, url, {"one": {**grows, "threshold": None}})
    bodies = await answer_with(
        page,
        chunk(canvas=canvas(1, ["a", None], 0)),
        chunk(canvas=canvas(2, ["a", "b", None, None], 1)),
        chunk(canvas=canvas(3, ["a", "b", "c", "d"], 2, 3)),
    )
    card = await ask(page, "Hello")
    await over(card)
    assert bodies[0]["canvas"] == "grow"
    slider = card.get_by_role("slider", name="Pass shown")
    for key, length, blocks in (("End", 4, 2), ("Home", 2, 1), ("ArrowRight", 2, 1), ("ArrowRight", 4, 2)):
        await slider.press(key)
        await expect(card.locator(".tile")).to_have_count(length)
        await expect(card.locator(".block")).to_have_count(blocks)
    await expect(card.get_by_role("group", name="Canvas of 4 tokens in 2 blocks")).to_be_visible()
    await card.locator(".tile").last.hover()  # which is the one to tell about, and then is not there
    await slider.press("Home")
    await expect(card.locator(".tile")).to_have_count(2)
    await expect(card.locator('.tile[tabindex="0"]')).to_have_count(1)
    await expect(card.get_by_role("group", name="Canvas of 2 tokens in 1 block")).to_be_visible()
