"""Takes the pictures of the playground that the README shows, from a running stack: `just pictures`."""

import argparse
import asyncio
import re
import sys

from playwright.async_api import Page, async_playwright, expect

from testing.folders import ROOT
from tests.stack.playground.browsers import NONE, chromium
from tests.stack.playground.talking import ask, choose, over, ready, sides, tiles

FOLDER = ROOT / "docs" / "pictures"
DEFAULT_URL = "http://127.0.0.1:3001/"
SIZE = {"width": 1280, "height": 1060}
PATIENCE_MILLISECONDS = 30_000
FADING_MILLISECONDS = 500  # enough for the last tile to fade in


async def denoising(page: Page) -> None:
    """An answer half-way."""
    await choose(page, steps=64)
    card = await ask(page, "Count down from 10")
    await card.get_by_text(re.compile(r"^pass (1[6-9]|2\d) of")).wait_for()
    await card.get_by_role("button", name="Pause").click()
    await tiles(card, "fresh").first.hover()


async def side_by_side(page: Page) -> None:
    """The same question with two settings, when both have answered."""
    await page.get_by_label("Compare two settings").check()
    await page.get_by_label("how sure the model was").check()
    await ask(page, "What are you?")
    for card in sides(page):
        await over(card)
    await tiles(sides(page)[1]).nth(7).hover()
    await page.wait_for_timeout(FADING_MILLISECONDS)


async def take(url: str, program: str) -> None:
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        for picture in (denoising, side_by_side):
            page = await browser.new_page(viewport=SIZE, color_scheme="light")
            await page.goto(url)
            await ready(page)
            await picture(page)
            await page.screenshot(path=FOLDER / f"{picture.__name__.replace('_', '-')}.png")
        await browser.close()


def main() -> str | None:
    """What stands in the way, if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=DEFAULT_URL, help=f"where the stack is [{DEFAULT_URL}]")
    url = parser.parse_args().url
    program = chromium()
    if program is None:
        return NONE
    asyncio.run(take(url, program))
    return None


if __name__ == "__main__":
    sys.exit(main())
