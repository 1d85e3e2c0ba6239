"""A browser before a whole platform. It needs Chromium, and only `make page-test` asks for it."""

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from tests.integration.conftest import Platform, platform

__all__ = ["platform"]

BROWSER_TESTS = (
    "test_dead_letters.py",
    "test_report_form.py",
    "test_sign_in.py",
    "test_story.py",
    "test_traces.py",
    "test_waterfall.py",
)
collect_ignore_glob = [] if os.environ.get("LINLI_BROWSER_TEST") else list(BROWSER_TESTS)

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 15_000
expect.set_options(timeout=PATIENCE)

Open = Callable[..., Awaitable[Page]]
Picture = Callable[[Page, str], Awaitable[None]]


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    found = os.environ.get("LINLI_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    assert found, "There is no Chromium: apt-get install chromium fonts-noto-cjk, or LINLI_CHROMIUM=/path/to/chromium."
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def open_page(browser: Browser, platform: Platform) -> AsyncIterator[Open]:
    """Open an address of the console as an operator; nothing may fail in it, and nothing come from elsewhere."""
    context = await browser.new_context(
        viewport={"width": 1440, "height": 900}, locale="zh-CN", timezone_id="Asia/Shanghai", color_scheme="light"
    )
    context.set_default_timeout(PATIENCE)
    home = urlsplit(platform.url).netloc
    asked: list[str] = []
    said: list[str] = []
    faults: list[str] = []

    async def open_(path: str, *, token: str | None = "") -> Page:
        page = await context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        if token is not None:
            path += f"#token={token or platform.token('operator', '0')}"
        await page.goto(f"{platform.url}/console{path}")
        return page

    yield open_
    await context.close()
    assert not [url for url in asked if urlsplit(url).netloc not in {home, ""}]
    assert not [text for text in said if "Security Policy" in text]
    assert not faults


@pytest.fixture
def picture() -> Picture:
    """Keep a picture for the documentation, where LINLI_PICTURES says."""
    folder = os.environ.get("LINLI_PICTURES")

    async def take(page: Page, name: str) -> None:
        if folder:
            await page.mouse.move(0, 0)
            await page.evaluate("scrollTo(0, 0)")
            await page.wait_for_timeout(600)  # what moves has come to rest
            await page.screenshot(path=Path(folder) / name)

    return take


def printed_address(platform: Platform) -> str:
    """Give the console's address, with its token, as `linli up` prints it."""
    printed = platform.linli("up", timeout=300).stdout
    found = re.search(r"http://\S+/console/\S*", printed)
    assert found, printed
    return found.group()
