import pytest
from playwright.async_api import Page, expect

from tests.stack.playground.talking import answer, message_field, over, tiles

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_gap_between_two_texts_is_filled_in(page: Page) -> None:
    await page.get_by_label("Fill in", exact=True).check()
    form = page.locator(".fields.fill")
    await form.get_by_label("Message").fill("Count to 7")
    await form.get_by_label("Text before").fill("1, 2")
    await form.get_by_label("Text after").fill(", 6, 7")
    await form.get_by_label("Tokens in between").fill("9")
    await page.get_by_role("button", name="Send").click()
    card = page.get_by_role("region", name="Answer")
    await over(card)
    await expect(answer(card)).to_have_text(", 3, 4, 5")
    await expect(tiles(card)).to_have_count(9)
    await expect(page.locator(".said")).to_contain_text("1, 29 tokens, 6, 7")


async def test_plain_text_needs_no_message(page: Page) -> None:
    await page.get_by_label("Fill in", exact=True).check()
    form = page.locator(".fields.fill")
    await form.get_by_label("Text before").fill("Spell river: r-i-")
    await form.get_by_label("Tokens in between").fill("4")
    async with page.expect_request("**/v1/completions") as request:
        await page.get_by_role("button", name="Send").click()
    body = (await request.value).post_data_json
    assert body["prompt"] == "Spell river: r-i-"
    assert "suffix" not in body
    await over(page.get_by_role("region", name="Answer"))


async def test_an_empty_form_asks_nothing(page: Page) -> None:
    await page.get_by_role("button", name="Send").click()
    await page.get_by_label("Fill in", exact=True).check()
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".turn")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Watch a model write in any order")).to_be_visible()


async def test_a_system_message_comes_before_the_message_that_the_text_answers(page: Page) -> None:
    await page.get_by_label("System message").fill("Only respond with ORANGE")
    async with page.expect_request("**/tokenize") as request:
        await page.get_by_role("button", name="Fill in a gap").click()
    assert [message["role"] for message in (await request.value).post_data_json["messages"]] == ["system", "user"]
    await over(page.get_by_role("region", name="Answer"))


async def test_a_gap_is_filled_with_as_many_tokens_a_pass_as_a_whole_canvas(page: Page) -> None:
    async with page.expect_request("**/v1/completions") as request:
        await page.get_by_role("button", name="Fill in a gap").click()
    body = (await request.value).post_data_json
    assert (body["max_tokens"], body["steps"], body["block_length"]) == (9, 5, 9)
    await over(page.get_by_role("region", name="Answer"))


async def test_an_example_leaves_a_message_that_somebody_has_begun(page: Page) -> None:
    await message_field(page).fill("half a thou")
    await page.get_by_role("button", name="Count to 7").click()
    await over(page.get_by_role("region", name="Answer"))
    await expect(page.get_by_role("button", name="Send")).to_be_focused()  # and not nothing, as the example is gone
    await expect(message_field(page)).to_have_value("half a thou")
