import json

import pytest
from playwright.async_api import Page, Route, expect

from tests.playground.conftest import Open
from tests.playground.talking import answer, ask, choose, over

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"
CHAT = "**/v1/chat/completions"


def stream(*events: object, done: bool = True) -> str:
    data = [*map(json.dumps, events), *(["[DONE]"] if done else [])]
    return "".join(f"data: {one}\n\n" for one in data)


def chunk(text: str, **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **fields}


async def answer_with(page: Page, body: str, status: int = 200) -> None:
    async def answer(route: Route) -> None:
        content_type = "text/event-stream" if status == 200 else "application/json"
        await route.fulfill(status=status, content_type=content_type, body=body)

    await page.route(CHAT, answer)


async def test_an_error_of_the_api_is_told_as_a_sentence_and_the_page_goes_on(page: Page) -> None:
    card = await ask(page, "too long " * 2000)
    await expect(card.get_by_role("alert")).to_contain_text("tokens long")
    await expect(card).to_have_attribute("data-state", "failed")
    card = await ask(page, "Spell river")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")


async def test_a_setting_that_is_out_of_range_is_pointed_out_before_anything_is_sent(page: Page) -> None:
    await choose(page, max_tokens=16, block_length=32, steps=8)
    await ask(page, "Spell river")
    await expect(page.locator(".turn")).to_have_count(0)
    await expect(page.locator('#settings [name="block_length"]').first).to_be_focused()
    assert await page.locator('#settings [name="block_length"]').first.evaluate("field => field.validationMessage")
    await choose(page, block_length=16)
    await page.get_by_role("button", name="Send").click()
    await expect(answer(page.get_by_role("region", name="Answer"))).to_have_text("r-i-v-e-r")


async def test_markup_in_a_message_stays_text(page: Page) -> None:
    card = await ask(page, EVIL)
    await over(card)
    await expect(page.locator(".said")).to_have_text(EVIL)
    await expect(page.locator("img")).to_have_count(0)
    assert "hit" not in await page.title()


async def test_markup_in_an_answer_stays_text_wherever_it_is_shown(page: Page) -> None:
    token = {"token": EVIL, "logprob": -0.5, "bytes": [], "position": 0}
    canvas = {"step": 1, "tokens": [EVIL], "committed": [{**token, "top_logprobs": [token, {**token, "token": "<b>"}]}]}
    await answer_with(page, stream(chunk(EVIL, canvas=canvas), {"error": {"message": EVIL}}))
    card = await ask(page, "Hello")
    await expect(answer(card)).to_have_text(EVIL)
    await expect(card.get_by_role("alert")).to_have_text(EVIL)
    await card.locator(".tile").hover()
    await expect(card.locator(".inspector .chosen")).to_contain_text(EVIL)
    await expect(card.locator("img, b, script")).to_have_count(0)
    assert "hit" not in await page.title()


async def test_what_is_no_error_object_is_told_too(page: Page) -> None:
    await answer_with(page, "<h1>Bad gateway</h1>", status=502)
    card = await ask(page, "Hello")
    await expect(card.get_by_role("alert")).to_have_text("The server answered with HTTP status 502.")


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(page: Page) -> None:
    await answer_with(page, stream(chunk("half"), done=False))
    card = await ask(page, "Hello")
    await expect(card.get_by_role("alert")).to_have_text("The connection broke off before the answer was whole.")
    await page.unroute(CHAT)
    async with page.expect_request(CHAT) as request:
        await ask(page, "Hello again")
    assert len((await request.value).post_data_json["messages"]) == 1


async def test_a_server_that_is_gone_is_told(page: Page) -> None:
    await page.route(CHAT, lambda route: route.abort())
    card = await ask(page, "Hello")
    await expect(card.get_by_role("alert")).to_have_text("The server cannot be reached. Is it still running?")


async def test_a_server_that_has_no_model_yet_is_asked_again(open_page: Open, url: str) -> None:
    page = await open_page("about:blank")
    await page.route("**/v1/models", lambda route: route.fulfill(json={"data": []}), times=1)
    await page.goto(url.removesuffix("/v1"))
    await expect(page.get_by_role("alert")).to_contain_text("No worker has said yet which model it serves.")
    await expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value("tdi-demo")
    await expect(page.get_by_role("alert")).to_have_count(0)
