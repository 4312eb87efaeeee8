"""The playground in a real browser, before the real stack. Whatever a page complains of fails its test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.stack.playground.browsers import NONE, chromium
from tests.stack.playground.talking import ready

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
ON_A_PHONE = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
CLIPBOARD = ["clipboard-read", "clipboard-write"]
PATIENCE_MILLISECONDS = 30_000
REFUSED = "Failed to load resource"  # what a browser says of every answer that is an error, told or not
WATCH = """
    addEventListener("securitypolicyviolation", (event) => complain(event.violatedDirective));
    for (const kind of ["animationstart", "transitionstart"]) {
        const complainOfMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches && complain(kind);
        addEventListener(kind, complainOfMotion, true);
    }
"""

Open = Callable[..., Awaitable[Page]]
NewContext = Callable[[dict[str, Any]], Awaitable[BrowserContext]]

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


@pytest.fixture(scope="session")
def context_with(browser: Browser) -> NewContext:
    """Returns the context with the given options: one for all tests, since pages leave nothing in it."""
    contexts: dict[str, BrowserContext] = {}

    async def context_with(options: dict[str, Any]) -> BrowserContext:
        key = repr(sorted(options.items()))
        if key not in contexts:
            contexts[key] = await browser.new_context(**options)
        return contexts[key]

    return context_with


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(context_with: NewContext, url: str) -> AsyncIterator[Open]:
    """Opens the playground; options are those of a browser's context. Animations are off unless a test wants them."""
    async with AsyncExitStack() as pages:

        async def open_page(at: str | None = None, **options: Any) -> Page:
            usual = {"viewport": DESKTOP, "reduced_motion": "reduce", "permissions": CLIPBOARD}
            context = await context_with({**usual, **options})
            page = await pages.enter_async_context(_opened(context, at or url.removesuffix("/v1")))
            if at is None:
                await ready(page)
            return page

        yield open_page


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: Open) -> Page:
    return await open_page()


@asynccontextmanager
async def _opened(context: BrowserContext, at: str) -> AsyncIterator[Page]:
    complaints: list[str] = []

    def complain(what: str) -> None:
        complaints.append(what)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            complain(message.text)

    async with await context.new_page() as page:
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("console", hear)
        page.on("pageerror", lambda error: complain(str(error)))
        await page.expose_function("complain", complain)
        await page.add_init_script(WATCH)
        await page.goto(at)
        yield page
        assert not complaints
