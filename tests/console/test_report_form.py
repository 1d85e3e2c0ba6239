"""The form that a place's QR code leads to, on a phone's screen."""

import io
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect
from tests.console.conftest import PATIENCE
from tests.integration.conftest import Platform

pytestmark = pytest.mark.xdist_group("platform")

COMMUNITY = "310104003001"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Make a photo that is larger than other requests may be."""
    file = tmp_path / "photo.jpg"
    Image.effect_noise((3000, 2000), 60).convert("RGB").save(file, quality=90)
    assert file.stat().st_size > 1024 * 1024
    return file


async def new_place(platform: Platform) -> dict[str, str]:
    async with platform.client("community_manager", COMMUNITY) as manager:
        answer = await manager.post("/tickets/v1/places", json={"unit": COMMUNITY, "name": "永嘉路1号垃圾厢房"})
        made: dict[str, str] = answer.raise_for_status().json()
    assert made["url"] == f"http://localhost:{platform.port}/tickets/r/{made['code']}"
    return made


async def opened(browser: Browser, platform: Platform, code: str, token: str = "") -> tuple[Page, list[str]]:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN")
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    faults: list[str] = []
    home = urlsplit(platform.url).netloc
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Security Policy" in message.text else None)
    page.on("request", lambda asked: None if urlsplit(asked.url).netloc == home else faults.append(asked.url))
    await page.goto(f"{platform.url}/tickets/r/{code}" + (f"#token={token}" if token else ""))
    return page, faults


async def test_a_resident_reports_by_a_code_with_a_photo(browser: Browser, platform: Platform, photo: Path) -> None:
    place = await new_place(platform)
    page, faults = await opened(browser, platform, place["code"], platform.token("resident", "310104"))
    await expect(page.get_by_text("永嘉路1号垃圾厢房")).to_be_visible()
    assert "token" not in page.url
    await page.get_by_role("button", name="提交").click()  # nothing was said yet
    await expect(page.get_by_label("什么事")).to_be_focused()
    await page.get_by_label("什么事").fill("满溢")
    await page.get_by_label("具体情况").fill("湿垃圾桶已满")
    await page.get_by_label("照片").set_input_files(photo)
    await page.get_by_role("button", name="提交").click()
    await expect(page.get_by_role("heading", name="已收到")).to_be_visible()
    ticket = await page.locator("#number").inner_text()
    assert not faults
    async with platform.client("resident", "310104") as resident:
        (file,) = (await resident.get(f"/tickets/v1/tickets/{ticket}/files")).raise_for_status().json()["items"]
        read = await resident.get(f"/tickets/v1/tickets/{ticket}/files/{file['id']}")
    assert Image.open(io.BytesIO(read.content)).size == (2048, 1365)


async def test_nobody_reports_without_a_name_or_by_an_old_code(browser: Browser, platform: Platform) -> None:
    place = await new_place(platform)
    page, faults = await opened(browser, platform, place["code"])
    await expect(page.get_by_text("此页面不接受匿名上报")).to_be_visible()
    await expect(page.get_by_role("button", name="提交")).to_be_hidden()
    old, others = await opened(browser, platform, "abcdefghijklmnop", platform.token("resident", "310104"))
    await expect(old.get_by_text("此二维码已停用")).to_be_visible()
    await expect(old.get_by_role("button", name="提交")).to_be_hidden()
    assert not faults + others
