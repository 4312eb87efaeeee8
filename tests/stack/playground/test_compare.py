import json

import pytest
from playwright.async_api import Page, Route, expect

from tests.stack.playground.faking import CHAT, chunk
from tests.stack.playground.talking import answer, ask, choose, figure, over, sides

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_runs_side_by_side_differ_in_forward_passes(page: Page) -> None:
    await page.get_by_label("Compare two settings").check()
    await ask(page, "What are you?")
    first, second = sides(page)
    await over(first)
    await over(second)
    assert await answer(first).inner_text() == await answer(second).inner_text()
    await expect(first).to_contain_text("steps 32")
    await expect(second).to_contain_text("threshold 0.9")
    assert await figure(second, "forward passes") < await figure(first, "forward passes")
    await expect(page.get_by_text("The same answer: B took 1 forward pass, and A 16.")).to_be_visible()


async def test_both_are_at_work_at_the_same_time_and_one_stop_ends_both(page: Page) -> None:
    await choose(page, max_tokens=900, block_length=900, rule="steps", steps=900)
    await page.get_by_label("Compare two settings").check()
    second = page.get_by_role("group", name="B", exact=True)
    for label, value in {"Canvas length": 900, "Block length": 900}.items():
        await second.get_by_label(label).fill(str(value))
    await second.get_by_label("Each pass fills in").select_option("steps")
    await second.get_by_label("Steps").fill("900")
    await ask(page, "What are you?")
    runs = page.locator(".run")
    for run in await runs.all():
        await expect(run.locator('.tile[data-look^="fresh"]')).not_to_have_count(0)
    await expect(page.locator('.run[data-state="denoising"]')).to_have_count(2)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator('.run[data-state="stopped"]')).to_have_count(2)
    await expect(page.get_by_text("Not both came to an end.")).to_be_visible()


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
    said = {"steps" in body: body["messages"][1]["content"] for body in bodies[2:]}
    assert said == {True: "from A", False: "from B"}
