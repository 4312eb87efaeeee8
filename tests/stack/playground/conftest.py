"""The playground in a real browser, before the real stack. Whatever a page complains of fails its test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.stack.playground.browsers import NONE, chromium
from tests.stack.playground.talking import ready

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MILLISECONDS = 30_000
REFUSED = "Failed to load resource"  # what a browser says of every answer that is an error, told or not

Open = Callable[..., Awaitable[Page]]

expect.set_options(timeout=PATIENCE_MILLISECONDS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The distribution's; its own sandbox is nothing that root or a container could have."""
    program = chromium()
    if program is None:
        pytest.skip(f"the playground is NOT tested: {NONE}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, url: str) -> AsyncIterator[Open]:
    """Opens the playground; options are those of a browser's context. Animations are off unless a test wants them."""
    async with AsyncExitStack() as pages:

        async def open_page(at: str | None = None, **options: Any) -> Page:
            asked = {"viewport": DESKTOP, "reduced_motion": "reduce", **options}
            page = await pages.enter_async_context(_opened(browser, at or url.removesuffix("/v1"), asked))
            if at is None:
                await ready(page)
            return page

        yield open_page


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: Open) -> Page:
    return await open_page()


@asynccontextmanager
async def _opened(browser: Browser, at: str, options: dict[str, Any]) -> AsyncIterator[Page]:
    complaints: list[str] = []

    def complain(what: str) -> None:
        complaints.append(what)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            complain(message.text)

    async with await browser.new_context(**options) as context:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("console", hear)
        page.on("pageerror", lambda error: complain(str(error)))
        await page.expose_function("complain", complain)
        await page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => complain(event.violatedDirective))"
        )
        await page.goto(at)
        yield page
        assert not complaints
