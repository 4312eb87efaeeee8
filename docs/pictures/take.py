"""Takes the pictures of the playground that the README shows, from a running stack: `just pictures`."""

import argparse
import asyncio
import re
import shutil
import sys
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

HERE = Path(__file__).parent
DEFAULT_URL = "http://127.0.0.1:3001/"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 920}

expect.set_options(timeout=30_000)  # milliseconds


async def denoising(page: Page) -> None:
    """An answer half-way."""
    await page.locator('#settings [name="steps"]').first.fill("64")
    await _ask(page, "Count down from 10")
    card = page.get_by_role("region", name="Answer")
    await card.get_by_text(re.compile(r"^pass (1[6-9]|2\d) of")).wait_for()
    await card.get_by_role("button", name="Pause").click()
    await card.locator('.tile[data-look="fresh"]').first.hover()


async def side_by_side(page: Page) -> None:
    """The same question with two settings, when both have answered."""
    await page.get_by_label("Compare two settings").check()
    await page.get_by_label("how sure the model was").check()
    await _ask(page, "What are you?")
    for side in "AB":
        card = page.get_by_role("region", name=f"{side}, answer 1")
        await expect(card).to_have_attribute("data-state", "done")
        await expect(card.get_by_role("button", name="One pass forward")).to_be_disabled()
    await page.get_by_role("region", name="B, answer 1").locator(".tile").nth(7).hover()


async def _ask(page: Page, message: str) -> None:
    await page.get_by_role("textbox", name="Message", exact=True).fill(message)
    await page.get_by_role("button", name="Send").click()


async def take(url: str, program: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        for picture in (denoising, side_by_side):
            page = await browser.new_page(viewport=SIZE, color_scheme="light")
            await page.goto(url)
            await expect(page.get_by_role("combobox", name="Model", exact=True)).not_to_have_value("")
            await picture(page)
            await page.screenshot(path=HERE / f"{picture.__name__.replace('_', '-')}.png")
        await browser.close()


def main() -> str | None:
    """What stands in the way, if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=DEFAULT_URL, help=f"where the stack is [{DEFAULT_URL}]")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        return "there is no Chromium on this machine; Debian's package is called chromium"
    asyncio.run(take(parser.parse_args().url, program))
    return None


if __name__ == "__main__":
    sys.exit(main())
