import pytest
from playwright.async_api import Page, expect

from tests.stack.playground.conftest import Open
from tests.stack.playground.faking import CHAT, answer_with, canvas, chunk
from tests.stack.playground.talking import answer, ask, choose, message_field, model_field, over, setting

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"


async def test_an_error_of_the_api_is_told_as_a_sentence_and_the_page_goes_on(page: Page) -> None:
    card = await ask(page, "too long " * 2000)
    await expect(card.get_by_role("alert")).to_contain_text("messages holds ")
    await expect(card).to_have_attribute("data-state", "failed")
    await expect(card.locator(".canvas")).to_be_hidden()
    card = await ask(page, "Spell river")
    await over(card)
    await expect(answer(card)).to_have_text("r-i-v-e-r")


async def test_a_setting_that_is_out_of_range_is_pointed_out_before_anything_is_sent(page: Page) -> None:
    await choose(page, temperature=3)
    await ask(page, "Spell river")
    await expect(page.locator(".turn")).to_have_count(0)
    field = setting(page, "temperature")
    await expect(field).to_be_focused()
    assert await field.evaluate("field => field.validationMessage")
    await choose(page, temperature=0)
    await page.get_by_role("button", name="Send").click()
    await expect(answer(page.get_by_role("region", name="Answer"))).to_have_text("r-i-v-e-r")


async def test_markup_in_a_message_stays_text(page: Page) -> None:
    card = await ask(page, EVIL)
    await over(card)
    await expect(page.locator(".said")).to_have_text(EVIL)
    await expect(page.locator("img")).to_have_count(0)
    assert "hit" not in await page.title()


async def test_markup_in_an_answer_stays_text_wherever_it_is_shown(page: Page) -> None:
    shown = canvas(1, [EVIL], 0, probability=0.5)
    shown["committed"][0]["top_logprobs"].append({"token": "<b>", "logprob": -2, "bytes": []})
    await answer_with(page, chunk(EVIL, canvas=shown), {"error": {"message": EVIL}})
    card = await ask(page, "Hello")
    await expect(answer(card)).to_have_text(EVIL)
    await expect(card.get_by_role("alert")).to_have_text(EVIL)
    await card.locator(".tile").hover()
    await expect(card.locator(".inspector .chosen")).to_contain_text(EVIL)
    await expect(card.locator("img, b, script")).to_have_count(0)
    assert "hit" not in await page.title()


async def test_what_is_no_error_object_is_told_too(page: Page) -> None:
    await page.route(CHAT, lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    card = await ask(page, "Hello")
    await expect(card.get_by_role("alert")).to_have_text("The server answered with HTTP status 502.")


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(page: Page) -> None:
    await answer_with(page, chunk("half"), done=False)
    card = await ask(page, "Hello")
    await expect(card.get_by_role("alert")).to_have_text("The connection broke off before the answer was whole.")
    await page.unroute(CHAT)
    async with page.expect_request(CHAT) as request:
        await ask(page, "Hello again")
    assert len((await request.value).post_data_json["messages"]) == 1


async def test_a_message_that_could_not_be_answered_is_given_back(page: Page) -> None:
    await page.route(CHAT, lambda route: route.fulfill(status=503, json={"error": {"message": "It is full."}}))
    card = await ask(page, "Spell river")
    await expect(card.get_by_role("alert")).to_have_text("It is full.")
    await expect(message_field(page)).to_have_value("Spell river")
    await expect(page.locator("#announcer")).to_have_text("")  # the alert has said it


async def test_a_server_that_is_gone_is_told(page: Page) -> None:
    await page.route(CHAT, lambda route: route.abort())
    card = await ask(page, "Hello")
    await expect(card.get_by_role("alert")).to_have_text("The server cannot be reached. Is it still running?")


async def test_a_server_that_has_no_model_yet_is_asked_again(open_page: Open, url: str) -> None:
    page = await open_page("about:blank")
    await page.route("**/v1/models", lambda route: route.fulfill(json={"data": []}), times=1)
    await page.goto(url.removesuffix("/v1"))
    await expect(page.get_by_role("alert")).to_contain_text("No worker has said yet which model it serves.")
    await expect(model_field(page)).to_have_value("tdi-demo")
    await expect(page.get_by_role("alert")).to_have_count(0)
