"""What people do on the page, and what they see there."""

import re

from playwright.async_api import Locator, Page, expect


async def ask(page: Page, message: str) -> Locator:
    """Sends a message, and gives the answer's card."""
    await ready(page)
    await message_field(page).fill(message)
    await page.get_by_role("button", name="Send").click()
    return page.get_by_role("region", name="Answer").last


async def ready(page: Page) -> None:
    """Returns when there is a model to ask."""
    await expect(model_field(page)).not_to_have_value("")


def message_field(page: Page) -> Locator:
    return page.get_by_label("Message", exact=True).and_(page.locator("textarea:visible"))


def model_field(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Model", exact=True)


async def choose(page: Page, **settings: str | float) -> None:
    """Sets what is named; of two sides, of the first."""
    for name, value in settings.items():
        field = setting(page, name)
        if await field.evaluate("field => field.tagName") == "SELECT":
            await field.select_option(str(value))
        else:
            await field.fill(str(value))


def key_field(page: Page) -> Locator:
    return page.get_by_label("Key", exact=True)


async def enter_key(page: Page, key: str) -> None:
    await key_field(page).fill(key)
    await key_field(page).press("Tab")


def setting(page: Page, name: str) -> Locator:
    """Its field, named as in a request; of two sides, that of the first."""
    return page.locator(f'#settings [name="{name}"]').first


def sides(page: Page) -> tuple[Locator, Locator]:
    """The last two cards of a comparison."""
    first, second = (page.get_by_role("region", name=re.compile(rf"^{side}, answer \d+$")).last for side in "AB")
    return first, second


async def over(card: Locator) -> None:
    """Returns when the answer is whole, and all of it is shown."""
    await expect(card).to_have_attribute("data-state", "done")
    await expect(card.get_by_role("button", name="One pass forward")).to_be_disabled()


def answer(card: Locator) -> Locator:
    return card.locator(".answer")


def tiles(card: Locator, look: str = "") -> Locator:
    """Those of the canvas that are "masked", "committed" or "fresh"; all of them otherwise."""
    return card.locator(f'.tile[data-look^="{look}"]' if look else ".tile")


async def copied(page: Page, card: Locator, kind: str) -> str:
    """The code that is on the clipboard once it is copied as "curl" or "Python"."""
    await card.get_by_role("button", name=f"Copy as {kind}").click()
    await expect(card).to_contain_text(f"Copied as {kind}.")
    code: str = await page.evaluate("navigator.clipboard.readText()")
    return code


async def figure(card: Locator, name: str) -> float:
    """A number that the card shows."""
    shown = await card.locator(".figures div", has_text=name).locator("dd").inner_text()
    return float(shown.split()[0])
