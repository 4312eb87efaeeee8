import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.playground.conftest import Open
from tests.playground.faking import MODELS, answer_with, chunk, offer_models
from tests.playground.talking import ask, choose, message_field, model_field

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def page_with(open_page: Open, url: str, models: dict[str, dict[str, Any]], longest: int = 1024) -> Page:
    page = await open_page("about:blank")
    await offer_models(page, models, longest)
    await page.goto(url.removesuffix("/v1"))
    await expect(model_field(page)).to_have_value(next(iter(models)))
    return page


@pytest.mark.parametrize(
    "defaults",
    [
        {"cfg_scale": 0.25, "temperature": 0.33, "threshold": 0.925},
        {"cfg_scale": 12.0, "threshold": None, "factor": 40.0},
        {"threshold": None, "steps": 4096},
        {"max_tokens": 4096, "block_length": 2048},
        {"threshold": 0.9, "steps": 16},
        dict.fromkeys(("block_length", "threshold", "kv_cache", "remasking", "cfg_scale", "temperature")),
    ],
)
async def test_whatever_a_model_does_by_default_can_be_sent_and_is_left_out(
    open_page: Open, url: str, defaults: dict[str, Any]
) -> None:
    page = await page_with(open_page, url, {"other": defaults})
    bodies = await answer_with(page, chunk("yes"))
    await page.get_by_role("button", name="Use the server's defaults").click()
    await page.get_by_label("Compare two settings").check()
    await ask(page, "Hello")
    await expect(page.locator('.run[data-state="done"]')).to_have_count(2)
    asked = {"model", "messages", "stream", "stream_options", "diffusing", "logprobs", "top_logprobs"}
    chosen = {name: value for name, value in bodies[0].items() if name not in asked}
    assert all(value not in ("", None) for value in chosen.values())
    known = {name for name in defaults if defaults[name] is not None}
    assert not chosen.keys() & known or max(defaults.get("max_tokens", 0), defaults.get("steps") or 0) > 1024


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
    temperature = page.locator('#settings [name="temperature"]').first
    await expect(temperature).to_have_value("0.5")
    card = await ask(page, "Hello")
    await expect(card).to_contain_text("two · steps 32")
    assert bodies[0]["model"] == "two"
    await model_field(page).select_option("one")
    await expect(page.locator('#settings [name="seed"]').first).to_have_value("7")


async def test_a_model_that_comes_later_is_offered_and_the_chosen_one_stays(open_page: Open, url: str) -> None:
    page = await page_with(open_page, url, {"one": {}, "two": {}})
    await model_field(page).select_option("two")
    await offer_models(page, {"new": {}, "one": {}, "two": {}})
    await message_field(page).focus()
    async with page.expect_response(MODELS):
        await model_field(page).focus()
    await expect(model_field(page).locator("option")).to_have_count(3)
    await expect(model_field(page)).to_have_value("two")


async def test_only_the_answer_to_the_newest_key_counts(open_page: Open, url: str) -> None:
    page = await open_page("about:blank")
    waiting: asyncio.Queue[Route] = asyncio.Queue()
    await page.route(MODELS, waiting.put)
    await page.goto(url.removesuffix("/v1"))
    await page.get_by_text("API key").click()
    old = await waiting.get()
    await page.get_by_label("Key", exact=True).fill("sk-right")
    await page.get_by_label("Key", exact=True).press("Tab")
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
        await expect(page.locator(f'#settings [name="{name}"]').first).to_have_value("16")
