import asyncio
import json

import pytest
from playwright.async_api import Page, Route, expect

from testing.stack import Stats
from testing.waiting import eventually
from tests.stack.playground.faking import CHAT, canvas, chunk, usage
from tests.stack.playground.talking import answer, ask, choose, figure, message_field, over, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOTE_WHAT_IS_SHOWN = """() => {
    globalThis.shown = [];
    const note = () => shown.push({
        masked: document.querySelectorAll(".tile[data-look=masked]").length,
        text: document.querySelector(".answer").textContent,
    });
    new MutationObserver(note).observe(document.querySelector("#turns"), { subtree: true, childList: true });
}"""
LONG = {"max_tokens": 900, "block_length": 900, "rule": "steps", "steps": 900}


async def test_a_chat_denoises_to_its_answer(page: Page) -> None:
    card = await ask(page, "Spell river")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")
    await expect(page.locator("#announcer")).to_have_text("Answer: r-i-v-e-r")
    await expect(tiles(card)).to_have_count(64)
    await expect(card.locator(".block")).to_have_count(2)
    await expect(card).to_contain_text("Finished early: the model wrote an end token.")
    await expect(card.get_by_role("button", name="Replay")).to_be_hidden()  # nothing is to move
    for name in ("forward passes", "tokens per second", "tokens per pass", "to first text"):
        assert await figure(card, name) > 0
    beyond = card.locator('.tile[data-look$="beyond"]')
    await expect(beyond).not_to_have_count(0)
    await card.get_by_role("slider").press("Home")
    await expect(beyond).to_have_count(0)


async def test_tokens_that_are_committed_appear_before_the_answer_is_whole(page: Page) -> None:
    await page.evaluate(NOTE_WHAT_IS_SHOWN)
    card = await ask(page, "What are you?")
    await over(card)
    await expect(answer(card)).to_have_text("I am TDI Demo, a small masked-diffusion language model.")
    shown = await page.evaluate("shown")
    masked = [one["masked"] for one in shown]
    assert masked == sorted(masked, reverse=True)
    assert len(set(masked)) > 2
    assert {one["text"] for one in shown if one["masked"] == 64} == {""}
    assert any(0 < len(one["text"]) < len(shown[-1]["text"]) for one in shown)


async def test_what_is_shown_after_each_event_is_what_the_event_said(page: Page) -> None:
    events = [
        chunk(canvas=canvas(1, [None, "b", None, None, None], 1, probability=0.5)),
        chunk("ab", canvas=canvas(3, ["a", "b", None, "d", None], 0, 3)),  # two steps in one event
        chunk("cde", canvas=canvas(4, ["a", "b", "c", "d", "e"], 2, 4)),
        usage(tokens=4, forward_passes=8),
    ]
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route(CHAT, held.put)
    await choose(page, max_tokens=5)
    await page.keyboard.press("Tab")  # which makes blocks as short
    await choose(page, block_length=2)
    card = await ask(page, "Hello")
    route = await held.get()
    await expect(card).to_contain_text("Waiting for its turn …")
    await expect(tiles(card, "masked")).to_have_count(5)
    stream = "".join(f": ping\ndata: {json.dumps(event)}\n\n" for event in events)
    await route.fulfill(content_type="text/event-stream", body=f"{stream}: ping\ndata: [DONE]\n\n")
    await over(card)
    lengths = await card.locator(".block").evaluate_all("all => all.map((block) => block.children.length)")
    assert lengths == [2, 2, 1]
    slider = card.get_by_role("slider")
    shown = []
    for number in range(4):
        await slider.fill(str(number))
        texts = await tiles(card).all_text_contents()
        shown.append((await slider.get_attribute("aria-valuetext"), texts, await answer(card).text_content()))
    assert shown == [
        ("pass 0 of 4", ["", "", "", "", ""], ""),
        ("pass 1 of 4", ["", "b", "", "", ""], ""),
        ("pass 3 of 4", ["a", "b", "", "d", ""], "ab"),
        ("pass 4 of 4", ["a", "b", "c", "d", "e"], "abcde"),
    ]
    await tiles(card).nth(1).hover()
    await expect(card.locator(".inspector")).to_contain_text("Position 2, committed in pass 1")
    await expect(card.locator(".inspector .chosen")).to_contain_text("50 %")
    assert await card.locator(".canvas").evaluate("canvas => canvas.style.getPropertyValue('--last-frame')") == "3"
    assert (await figure(card, "forward passes"), await figure(card, "tokens per pass")) == (8, 0.5)


async def test_a_conversation_has_a_memory_until_a_new_one_begins(page: Page) -> None:
    await over(await ask(page, "My name is Ada."))
    card = await ask(page, "What is my name?")
    await over(card)
    await expect(answer(card)).to_have_text("Your name is Ada.")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("heading", name="Watch a model write in any order")).to_be_visible()
    sent = await asked_by(page, "What is my name?")
    assert [message["content"] for message in sent["messages"]] == ["What is my name?"]


async def test_stop_cancels_on_the_worker_and_the_focus_goes_with_the_button(page: Page, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    await choose(page, **LONG)
    await message_field(page).fill("What are you?")
    await page.get_by_role("button", name="Send").press("Enter")
    card = page.get_by_role("region", name="Answer")
    await expect(tiles(card, "fresh")).not_to_have_count(0)
    await expect(card).to_have_attribute("data-state", "denoising")
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Send")).to_be_focused()
    await expect(card).to_have_attribute("data-state", "stopped")
    await expect(card).to_contain_text("Stopped.")
    await eventually(lambda: stats().cancelled_requests_total == before + 1)
    assert stats().running_requests == 0
    await page.get_by_role("button", name="Use the server's defaults").click()
    sent = await asked_by(page, "Hello")
    assert len(sent["messages"]) == 1  # what has no answer is no part of the conversation


async def test_escape_and_leaving_the_page_cancel_too(page: Page, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    await choose(page, **LONG)
    card = await ask(page, "What are you?")
    await expect(tiles(card, "fresh")).not_to_have_count(0)
    await tiles(card).first.press("Escape")
    await eventually(lambda: stats().cancelled_requests_total == before + 1)
    card = await ask(page, "What are you?")
    await expect(tiles(card, "fresh")).not_to_have_count(0)
    await page.goto("about:blank")
    await eventually(lambda: stats().cancelled_requests_total == before + 2)


async def test_a_new_conversation_ends_what_is_running_and_says_nothing_of_it(page: Page) -> None:
    await choose(page, **LONG)
    card = await ask(page, "What are you?")
    await expect(tiles(card, "fresh")).not_to_have_count(0)
    async with page.expect_event("requestfailed"):
        await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(page.locator("#announcer")).to_have_text("")


async def test_send_asks_nothing_without_a_message_and_once_with_a_double_click(page: Page) -> None:
    send = page.get_by_role("button", name="Send")
    for mode in ("Fill in", "Chat"):
        await page.get_by_label(mode, exact=True).check()
        await send.click()
    await expect(page.locator(".turn")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Watch a model write in any order")).to_be_visible()
    await message_field(page).fill("Spell river")
    await send.dblclick()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")
    await expect(card).to_have_count(1)


async def test_a_request_says_all_that_is_set(page: Page) -> None:
    await choose(page, rule="factor", factor=0.5, kv_cache="none", seed=7, temperature=0.3, cfg_scale=1)
    await choose(page, remasking="entropy")
    await page.get_by_label("System message").fill("Only respond with ORANGE")
    sent = await asked_by(page, "Hello")
    shown = {"stream", "stream_options", "diffusing", "logprobs", "top_logprobs", "messages"}
    options = {name: value for name, value in sent.items() if name not in shown}
    assert options == {
        "model": "tdi-demo",
        "max_tokens": 64,
        "canvas": "fixed",
        "factor": 0.5,
        "block_length": 32,
        "kv_cache": "none",
        "remasking": "entropy",
        "temperature": 0.3,
        "cfg_scale": 1,
        "seed": 7,
    }
    await page.get_by_role("button", name="Use the server's defaults").click()
    await page.get_by_role("button", name="New conversation").click()
    sent = await asked_by(page, "Hello")
    assert sent.keys() == shown | options.keys() - {"factor", "seed"} | {"threshold"}
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    await expect(answer(page.get_by_role("region", name="Answer"))).to_have_text("ORANGE")


async def asked_by(page: Page, message: str) -> dict[str, object]:
    """The body of the request that a message makes."""
    async with page.expect_request(CHAT) as request:
        card = await ask(page, message)
    await over(card)
    body: dict[str, object] = json.loads((await request.value).post_data or "")
    return body
