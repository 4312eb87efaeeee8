"""What the page makes of events, one by one; the real stack would not tell them twice in the same way."""

import asyncio
import json

import pytest
from playwright.async_api import Page, Route, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.faking import CHAT, answer_with, canvas, chunk, usage
from tests.stack.playground.talking import answer, ask, choose, figure, message_field, over, sides, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_shown_after_each_event_is_what_the_event_told(page: Page) -> None:
    await choose(page, max_tokens=4, block_length=2)
    await answer_with(
        page,
        chunk(canvas=canvas(1, [None, "b", None, None])),  # the role, before the step's own event
        chunk(canvas=canvas(1, [None, "b", None, None], 1, probability=0.5)),
        {**chunk(), "canvas": None},
        chunk("ab", canvas=canvas(3, ["a", "b", None, "d"], 0, 3)),  # two steps in one event
        chunk("cd", canvas=canvas(4, ["a", "b", "c", "d"], 2)),
        chunk(canvas=canvas(4, ["a", "b", "c", "d"])),  # once more
        usage(tokens=4, forward_passes=4),
    )
    card = await ask(page, "Hello")
    await over(card)
    slider = card.get_by_role("slider")
    shown = []
    for number in range(4):
        await slider.fill(str(number))
        texts = await tiles(card).all_text_contents()
        shown.append((await slider.get_attribute("aria-valuetext"), texts, await answer(card).text_content()))
    assert shown == [
        ("pass 0 of 4", ["", "", "", ""], ""),
        ("pass 1 of 4", ["", "b", "", ""], ""),
        ("pass 3 of 4", ["a", "b", "", "d"], "ab"),
        ("pass 4 of 4", ["a", "b", "c", "d"], "abcd"),
    ]
    await tiles(card).nth(1).hover()
    await expect(card.locator(".inspector")).to_contain_text("Position 2, committed in pass 1")
    await expect(card.locator(".inspector .chosen")).to_contain_text("50 %")
    assert await card.locator(".canvas").evaluate("canvas => canvas.style.getPropertyValue('--last-frame')") == "3"


async def test_figures_are_those_of_the_answer(page: Page) -> None:
    await choose(page, max_tokens=4, block_length=4)
    fill = chunk("abcd", canvas=canvas(1, ["a", "b", "c", "d"], 0, 1, 2, 3))
    await answer_with(page, fill, usage(tokens=3, forward_passes=2))
    card = await ask(page, "Hello")
    await over(card)
    assert await figure(card, "forward passes") == 2
    assert await figure(card, "tokens per pass") == 1.5
    seconds = await card.locator(".figures div", has_text="total time").locator("dd").inner_text()
    assert await figure(card, "tokens per second") == pytest.approx(3 / in_seconds(seconds), rel=0.1)
    first = await card.locator(".figures div", has_text="to first text").locator("dd").inner_text()
    assert in_seconds(first) <= in_seconds(seconds)


async def test_a_run_says_that_it_waits(page: Page) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        arrived.set()
        await go_on.wait()
        await route.continue_()

    await page.route(CHAT, hold)
    card = await ask(page, "Spell river")
    await arrived.wait()
    await expect(card).to_contain_text("Waiting for its turn …")
    await expect(tiles(card, "masked")).to_have_count(64)
    go_on.set()
    await over(card)


async def test_a_double_click_on_send_sends_once_and_stops_nothing(page: Page) -> None:
    await message_field(page).fill("Spell river")
    await page.get_by_role("button", name="Send").dblclick()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")
    await expect(card).to_have_count(1)


async def test_who_goes_back_to_the_newest_pass_follows_again(page: Page) -> None:
    await choose(page, max_tokens=512, block_length=512, steps=512)
    card = await ask(page, "What are you?")
    await expect(tiles(card, "committed")).not_to_have_count(0)
    slider = card.get_by_role("slider")
    await card.get_by_role("button", name="One pass back").click()
    shown = await slider.input_value()
    await expect(slider).not_to_have_attribute("max", str(int(shown) + 1))
    assert await slider.input_value() == shown
    await slider.press("End")
    reached = await slider.input_value()
    await expect(slider).not_to_have_js_property("value", reached)
    await page.get_by_role("button", name="Stop").click()


async def test_a_pause_stays_where_it_is(open_page: Open) -> None:
    page = await open_page(reduced_motion="no-preference")
    await choose(page, max_tokens=24, block_length=24, steps=24)
    await answer_with(page, *(chunk(canvas=canvas(step, ["a"] * 24, step - 1)) for step in range(1, 25)))
    card = await ask(page, "Hello")
    await card.get_by_role("button", name="Pause", exact=True).click()
    await expect(card.get_by_role("button", name="Play", exact=True)).to_be_visible()
    shown = await card.get_by_role("slider").input_value()
    await page.wait_for_timeout(500)  # three passes, if it had not stopped
    assert await card.get_by_role("slider").input_value() == shown
    await card.get_by_role("button", name="Play", exact=True).click()
    await over(card)
    await expect(card.get_by_role("button", name="Replay", exact=True)).to_be_visible()


async def test_a_long_answer_takes_no_longer_to_watch_than_it_should(open_page: Open) -> None:
    page = await open_page(reduced_motion="no-preference")
    await choose(page, max_tokens=1000, block_length=1000, steps=1000)
    await answer_with(page, *(chunk(canvas=canvas(step, ["a"] * 1000, step - 1)) for step in range(1, 1001)))
    card = await ask(page, "Hello")
    await over(card)
    shown = await page.evaluate("performance.now()")
    assert shown < 60_000  # were every pass shown for as long as one of a few, it would take minutes


async def test_each_side_is_asked_with_the_answers_that_it_gave(page: Page) -> None:
    bodies = []

    async def answer_by_rule(route: Route) -> None:
        body = route.request.post_data_json
        bodies.append(body)
        event = chunk("from A" if "steps" in body else "from B")
        await route.fulfill(content_type="text/event-stream", body=f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n")

    await page.route(CHAT, answer_by_rule)
    await page.get_by_label("Compare two settings").check()
    for message in ("Hello", "Hello again"):
        await ask(page, message)
        for card in sides(page):
            await over(card)
    told = {"steps" in body: body["messages"][1]["content"] for body in bodies[2:]}
    assert told == {True: "from A", False: "from B"}


async def test_a_new_conversation_ends_what_is_running_and_says_nothing_of_it(page: Page) -> None:
    await choose(page, max_tokens=900, block_length=900, steps=900)
    card = await ask(page, "What are you?")
    await expect(tiles(card, "fresh")).not_to_have_count(0)
    async with page.expect_event("requestfailed"):
        await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(page.locator("#announcer")).to_have_text("")


def in_seconds(shown: str) -> float:
    amount, unit = shown.split()
    return float(amount) / (1000 if unit == "ms" else 1)
