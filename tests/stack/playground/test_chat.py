import json

import pytest
from playwright.async_api import Page, expect

from router.playground.files import page_files
from testing.stack import Stats
from testing.waiting import eventually
from tests.stack.playground.conftest import Open
from tests.stack.playground.talking import answer, ask, choose, figure, over, tiles

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
    await expect(tiles(card)).to_have_count(64)
    await expect(card.locator(".block")).to_have_count(2)
    await expect(card).to_contain_text("Finished early: the model wrote an end token.")
    assert await figure(card, "forward passes") > 1
    assert await figure(card, "tokens per second") > 0
    assert await figure(card, "tokens per pass") > 0
    assert await figure(card, "to first text") > 0


async def test_tokens_that_are_committed_appear_before_the_answer_is_whole(open_page: Open) -> None:
    page = await open_page(reduced_motion="no-preference")
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


async def test_a_conversation_has_a_memory_until_a_new_one_begins(page: Page) -> None:
    await over(await ask(page, "My name is Ada."))
    card = await ask(page, "What is my name?")
    await over(card)
    await expect(answer(card)).to_have_text("Your name is Ada.")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("heading", name="Watch a model write in any order")).to_be_visible()
    sent = await asked_by(page, "What is my name?")
    assert [message["content"] for message in sent["messages"]] == ["What is my name?"]


async def test_a_system_message_comes_before_the_conversation(page: Page) -> None:
    await page.get_by_label("System message").fill("Only respond with ORANGE")
    card = await ask(page, "Hello")
    await over(card)
    await expect(answer(card)).to_have_text("ORANGE")


async def test_stop_cancels_on_the_worker(page: Page, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    await choose(page, **LONG)
    card = await ask(page, "What are you?")
    await expect(tiles(card, "fresh")).not_to_have_count(0)
    await page.get_by_role("button", name="Stop").click()
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


async def test_a_request_says_all_that_is_set(page: Page) -> None:
    await choose(page, rule="factor", factor=0.5, kv_cache="none", seed=7, temperature=0.3, cfg_scale=1)
    await choose(page, remasking="entropy")
    sent = await asked_by(page, "Hello")
    told = {"stream", "stream_options", "diffusing", "logprobs", "top_logprobs", "messages"}
    options = {name: value for name, value in sent.items() if name not in told}
    assert options == {
        "model": "tdi-demo",
        "max_tokens": 64,
        "factor": 0.5,
        "block_length": 32,
        "kv_cache": "none",
        "remasking": "entropy",
        "temperature": 0.3,
        "cfg_scale": 1,
        "seed": 7,
    }
    await page.get_by_role("button", name="Use the server's defaults").click()
    sent = await asked_by(page, "Hello")
    assert sent.keys() == told | options.keys() - {"factor", "seed"} | {"threshold"}


async def test_the_browser_needs_every_file_and_no_other(open_page: Open) -> None:
    page = await open_page("about:blank")
    paths: list[str] = []
    page.on("request", lambda request: paths.append(request.url))
    async with page.expect_response("**/v1/models"):
        await page.goto((await open_page()).url)
    asked = {path.partition("/playground/")[2] or "index.html" for path in paths if not path.endswith("/v1/models")}
    assert asked | {"icon.svg"} == page_files().keys()  # without a window there is nowhere to show an icon


async def asked_by(page: Page, message: str) -> dict[str, object]:
    """The body of the request that a message makes."""
    async with page.expect_request("**/v1/chat/completions") as request:
        card = await ask(page, message)
    await over(card)
    body: dict[str, object] = json.loads((await request.value).post_data or "")
    return body
