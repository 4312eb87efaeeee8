import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.faking import MODELS, answer_with, chunk, offer_models
from tests.stack.playground.talking import ask, choose, enter_key, message_field, model_field, over, setting

COMES_BACK = "document.dispatchEvent(new Event('visibilitychange'))"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def page_with(open_page: Open, url: str, models: dict[str, dict[str, Any]], longest: int = 1024) -> Page:
    page = await open_page("about:blank")
    await offer_models(page, models, longest)
    await page.goto(url.removesuffix("/v1"))
    await expect(model_field(page)).to_have_value(next(iter(models)))
    return page


@pytest.mark.parametrize(
    ("defaults", "sent"),
    [
        ({"cfg_scale": 0.25, "temperature": 0.33, "threshold": 0.925}, {}),
        ({"cfg_scale": 12.0, "threshold": None, "factor": 40.0}, {}),
        ({"threshold": None, "steps": 4096}, {"steps": 128}),
        ({"max_tokens": 4096, "block_length": 2048}, {"max_tokens": 1024, "block_length": 1024}),
        ({"threshold": 0.9, "steps": 16}, {"steps": None}),
        (
            {"block_length": None, "threshold": None, "kv_cache": None, "temperature": None},
            {"block_length": 32, "steps": 128, "kv_cache": "dual", "temperature": 0},
        ),
    ],
)
async def test_whatever_a_model_does_by_default_can_be_sent(
    open_page: Open, url: str, defaults: dict[str, Any], sent: dict[str, Any]
) -> None:
    """`sent` is what differs from the defaults."""
    page = await page_with(open_page, url, {"other": defaults})
    bodies = await answer_with(page, chunk("yes"))
    await page.get_by_role("button", name="Use the server's defaults").click()
    await page.get_by_label("Compare two settings").check()
    await ask(page, "Hello")
    await expect(page.locator('.run[data-state="done"]')).to_have_count(2)
    expected = {**defaults, **sent}
    assert {name: bodies[0].get(name) for name in expected} == expected
    assert None not in bodies[0].values()


async def test_defaults_that_change_change_nothing_until_they_are_asked_for(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {"threshold": 0.9}})
    bodies = await answer_with(page, chunk("yes"))
    to_defaults, threshold = page.get_by_role("button", name="Use the server's defaults"), setting(page, "threshold")
    await to_defaults.click()
    await offer_models(page, {"one": {"threshold": 0.5}}, longest=48)
    await over(await ask(page, "Hello"))
    assert bodies[0]["threshold"] == 0.9
    async with page.expect_response(MODELS):
        await model_field(page).focus()
    await expect(setting(page, "max_tokens")).to_have_attribute("max", "48")
    await expect(threshold).to_have_value("0.9")
    await to_defaults.click()
    await expect(threshold).to_have_value("0.5")


async def test_each_side_can_take_the_server_s_defaults(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {"temperature": 0.5}})
    await page.get_by_label("Compare two settings").check()
    temperatures = page.locator('#settings [name="temperature"]')
    for side in (0, 1):
        await temperatures.nth(side).fill("0.1")
    await page.get_by_role("group", name="B", exact=True).get_by_role("button").click()
    await expect(temperatures.first).to_have_value("0.1")
    await expect(temperatures.last).to_have_value("0.5")


async def test_a_canvas_is_not_longer_than_the_model_holds(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"tiny": {}}, longest=48)
    bodies = await answer_with(page, chunk("yes"))
    await ask(page, "Hello")
    await expect(page.locator('.run[data-state="done"]')).to_have_count(1)
    assert bodies[0]["max_tokens"] == 48
    await page.get_by_label("Fill in", exact=True).check()
    await expect(page.get_by_label("Tokens in between")).to_have_js_property("max", "48")


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


async def test_a_model_that_comes_later_is_offered_and_the_chosen_one_stays(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {}, "two": {}})
    await model_field(page).select_option("two")
    await offer_models(page, {"new": {}, "one": {}, "two": {}})
    await message_field(page).focus()
    async with page.expect_response(MODELS):
        await model_field(page).focus()
    await expect(model_field(page).locator("option")).to_have_count(3)
    await expect(model_field(page)).to_have_value("two")


async def test_what_is_chosen_from_a_list_that_is_gone_is_shown_as_soon_as_it_is_back(
    open_page: Open, url: str
) -> None:
    page = await page_with(open_page, url, {"one": {}, "two": {"temperature": 0.5}})
    await page.route(MODELS, lambda route: route.fulfill(json={"data": []}), times=1)
    await page.evaluate(COMES_BACK)
    await expect(page.get_by_role("alert")).to_contain_text("No worker has said yet")
    await model_field(page).evaluate("field => { field.value = 'two'; field.dispatchEvent(new Event('change')); }")
    await expect(setting(page, "temperature")).to_have_value("0.5")


async def test_who_comes_back_to_the_page_sees_the_models_of_now(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {}})
    await offer_models(page, {"one": {}, "two": {}})
    await page.evaluate(COMES_BACK)
    await expect(model_field(page).locator("option")).to_have_count(2)


async def test_only_the_answer_to_the_newest_key_counts(open_page: Open, url: str) -> None:
    page = await open_page("about:blank")
    waiting: asyncio.Queue[Route] = asyncio.Queue()
    await page.route(MODELS, waiting.put)
    await page.goto(url.removesuffix("/v1"))
    await page.get_by_text("API key").click()
    old = await waiting.get()
    await enter_key(page, "sk-right")
    new = await waiting.get()
    await new.continue_()
    await expect(model_field(page)).to_have_value("tdi-demo")
    async with page.expect_response(MODELS):
        await old.fulfill(status=401, json={"error": {"message": "wrong"}})
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_shorter_canvas_takes_steps_and_blocks_along(page: Page) -> None:
    await choose(page, max_tokens=16)
    await page.keyboard.press("Tab")
    for name in ("steps", "block_length"):
        await expect(setting(page, name)).to_have_value("16")
