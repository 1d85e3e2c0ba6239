import asyncio
import re
import secrets
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page, expect
from tests.console.conftest import Open, Picture, printed_address
from tests.integration.conftest import Platform

from linli.testing import Watch

OPENING = "POST /tickets/v1/tickets"
PROMISED_SECONDS = 2


async def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list as a hand does."""
    box = page.get_by_label(label, exact=True)
    await box.click()
    if await box.is_editable():
        await box.fill(option)
    await page.locator(".ant-select-item-option", has_text=option).first.click()


async def call(platform: Platform) -> str:
    """Send a request that is traced, and give its trace."""
    trace = secrets.token_hex(16)
    parent = f"00-{trace}-{secrets.token_hex(8)}-01"
    async with platform.client("district_admin", "310104", traceparent=parent) as admin:
        (await admin.get("/directory/v1/units/310104003/children")).raise_for_status()
    return trace


async def test_an_operator_finds_the_slowest_ticket_and_its_way_through_the_services(
    open_page: Open, platform: Platform, picture: Picture
) -> None:
    address = urlsplit(await asyncio.to_thread(printed_address, platform))
    page = await open_page("/", token=parse_qs(address.fragment)["token"][0])
    await choose(page, "时间范围", "最近 24 小时")
    await choose(page, "操作", OPENING)
    slowest = page.get_by_role("list", name="最慢的追踪").get_by_role("link").first
    await expect(slowest).to_contain_text(OPENING)
    await slowest.click()

    await expect(page.get_by_role("heading", name=OPENING)).to_be_visible()
    tree = page.get_by_role("tree", name="跨度")
    for step in (
        f"tickets {OPENING}",
        "tickets send linli.tickets.{district}.opened.v1",
        "notifications process linli.tickets.{district}.opened.v1",
        "points process linli.tickets.{district}.rated.v1",
    ):
        await expect(tree.get_by_role("treeitem", name=step).first).to_be_attached()
    assert await tree.locator("i.wait.outbox").count() > 0
    assert await tree.locator("i.critical").count() > 0
    await picture(page, "console-trace.png")

    await tree.get_by_role("treeitem", name="notifications process").first.click()
    details = page.get_by_role("dialog")
    await expect(details).to_contain_text("messaging.consumer.group.name")
    assert parse_qs(urlsplit(page.url).query)["span"]
    await page.keyboard.press("Escape")

    await page.get_by_role("link", name="这件事的全程").click()
    story = page.get_by_role("list", name="全程")
    for step in ("POST /tickets/v1/tickets", "已派单", "已办结", "已评价"):
        await expect(story).to_contain_text(step)
    assert "/console/subjects/" in page.url
    await picture(page, "console-ticket.png")


async def test_a_day_is_watched_as_it_happens(open_page: Open, platform: Platform, picture: Picture) -> None:
    page = await open_page("/traces?range=15m&unit=310104003")
    await page.get_by_role("button", name="实时").click()
    await expect(page.get_by_role("status")).to_have_text("实时更新中")
    began = datetime.now(UTC).isoformat()
    await asyncio.to_thread(platform.linli, "demo", "--tickets", "24")
    async with platform.client("operator", "0") as operator:
        query = {"unit": "310104003", "operation": OPENING, "since": began}
        opened = (await operator.get("/console/v1/traces", params=query)).raise_for_status().json()["items"]
    assert len(opened) >= 24
    for ticket in opened:
        await expect(page.locator(f"tbody a[href$='/traces/{ticket['trace_id']}']")).to_have_count(1)
    await picture(page, "console-traces.png")


async def test_filters_live_in_the_address_and_can_be_shared(open_page: Open) -> None:
    page = await open_page("/traces")
    await choose(page, "服务", "points")
    await page.get_by_label("耗时超过").fill("3")
    await page.get_by_label("耗时超过").press("Enter")
    await expect(page).to_have_url(re.compile("service=points&slower_than=3"))
    other = await open_page(page.url.partition("/console")[2])
    await expect(other.get_by_label("耗时超过")).to_have_value("3")
    await expect(other.locator("tbody tr.row").first).to_be_visible()
    await other.get_by_label("耗时超过").fill("86400000")
    await other.get_by_label("耗时超过").press("Enter")
    await expect(other.get_by_text("该范围内没有追踪").first).to_be_visible()
    await other.get_by_role("button", name="清除筛选").click()
    await expect(other.locator("tbody tr.row").first).to_be_visible()
    assert not urlsplit(other.url).query


async def test_only_the_streets_own_are_shown(open_page: Open) -> None:
    page = await open_page("/traces?range=24h")
    await page.get_by_label("区 / 街道").click()
    await page.get_by_role("menuitemcheckbox", name="徐汇区").click()
    await page.get_by_role("menuitemcheckbox", name="天平路街道").click()
    await expect(page).to_have_url(re.compile("unit=310104003"))
    place = page.locator("tbody tr.row td:nth-child(4)")
    await expect(place.first).to_have_text("徐汇区 · 天平路街道")
    await expect(place.filter(has_not_text="天平路街道")).to_have_count(0)


async def test_a_new_trace_shows_within_two_seconds_and_waits_while_paused(open_page: Open, platform: Platform) -> None:
    page = await open_page("/traces")
    await page.get_by_role("button", name="实时").click()
    await expect(page.get_by_role("status")).to_have_text("实时更新中")
    await call(platform)  # its token and its connection are made
    await asyncio.sleep(2)
    async with Watch() as watch:
        trace = await call(platform)
        await page.locator(f"tbody a[href$='/traces/{trace}']").wait_for()
    assert watch.seconds < PROMISED_SECONDS

    await page.get_by_role("button", name="暂停").click()
    trace = await call(platform)
    await expect(page.get_by_role("status")).to_contain_text("条新追踪")
    await expect(page.locator(f"tbody a[href$='/traces/{trace}']")).to_have_count(0)
    await page.get_by_role("button", name="继续").click()
    await expect(page.locator(f"tbody a[href$='/traces/{trace}']")).to_have_count(1)


async def test_older_traces_come_page_by_page(open_page: Open) -> None:
    page = await open_page("/traces?range=24h")
    rows = page.locator("tbody tr.row")
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="加载更早的追踪").click()
    await expect(rows).to_have_count(100)
    links = await rows.locator("a.operation").evaluate_all("found => found.map(one => one.href)")
    assert len(set(links)) == 100


async def test_services_and_speeds_are_shown(open_page: Open) -> None:
    page = await open_page("/map?range=1h")
    await expect(page.get_by_role("cell", name="tickets").first).to_be_visible()
    await expect(page.get_by_role("img", name="服务拓扑").locator("canvas")).to_be_visible()
    await page.get_by_role("link", name="接口耗时").click()
    await page.get_by_label("查找操作").fill(OPENING)
    await page.get_by_role("button", name=f"查看逐小时对比: tickets {OPENING}", exact=True).click()
    await expect(page.get_by_role("dialog").get_by_role("img", name="24 小时对比").locator("canvas")).to_be_visible()


async def test_the_page_speaks_english_and_remembers_it(open_page: Open) -> None:
    page = await open_page("/operations")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Operations")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Operations")).to_be_visible()
