import asyncio
import json
import re
from datetime import UTC, datetime
from uuid import uuid4

from playwright.async_api import expect
from tests.console.conftest import Open
from tests.integration.conftest import Platform

DISTRICT = 310104
OTHER = 310105
SECRET = "a-district-operators-secret"


async def test_an_operator_signs_in_with_a_token(open_page: Open, platform: Platform) -> None:
    page = await open_page("/traces", token=None)
    await page.get_by_label("令牌", exact=True).fill(platform.token("operator", "0"))
    await page.get_by_role("button", name="登录").click()
    await expect(page.get_by_role("heading", name="链路追踪")).to_be_attached()
    await expect(page.get_by_role("button", name="账户")).to_contain_text("平台运维")


async def test_a_token_in_the_address_is_gone_from_it_at_once(open_page: Open) -> None:
    page = await open_page("/map")
    await expect(page.get_by_role("heading", name="服务拓扑")).to_be_visible()
    assert "#" not in page.url
    await page.reload()
    await expect(page.get_by_role("heading", name="服务拓扑")).to_be_visible()


async def test_a_wrong_secret_is_refused_in_words(open_page: Open) -> None:
    page = await open_page("/traces", token=None)
    await page.get_by_role("tab", name="客户端").click()
    await page.get_by_label("客户端编号").fill(str(uuid4()))
    await page.get_by_label("客户端密钥").fill("wrong")
    await page.get_by_role("tabpanel", name="客户端").get_by_role("button", name="登录").click()
    await expect(page.get_by_role("alert")).to_contain_text("登录未成功")


async def test_whoever_may_not_look_is_told_why(open_page: Open, platform: Platform) -> None:
    page = await open_page("/traces", token=platform.token("resident", "310104003"))
    await expect(page.get_by_role("alert").first).to_contain_text("没有权限")
    account = page.get_by_role("button", name="账户")
    await expect(account).to_be_visible()
    await expect(account).not_to_contain_text("平台运维")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("alert").first).to_contain_text("Forbidden")


async def test_a_token_that_ends_is_asked_for_again_over_what_is_on_screen(open_page: Open, platform: Platform) -> None:
    page = await open_page("/traces?range=24h", token=None)
    await page.clock.install()
    await page.get_by_label("令牌", exact=True).fill(platform.token("operator", "0"))
    await page.get_by_role("button", name="登录").click()
    rows = page.locator("tbody tr.row")
    await expect(rows.first).to_be_visible()
    await page.clock.fast_forward("11:00")
    again = page.get_by_role("dialog", name="登录已过期")
    await expect(again).to_be_visible()
    await expect(rows.first).to_be_visible()

    await page.clock.set_system_time(datetime.now(UTC))
    await again.get_by_label("令牌", exact=True).fill(platform.token("operator", "0"))
    await again.get_by_role("button", name="登录").click()
    await expect(again).to_be_hidden()
    await expect(rows.first).to_be_visible()
    assert "range=24h" in page.url


async def test_an_operator_of_one_district_sees_only_his(open_page: Open, platform: Platform) -> None:
    for district in (DISTRICT, OTHER):
        async with platform.client("district_admin", str(district)) as admin:
            (await admin.get(f"/directory/v1/units/{district}")).raise_for_status()
    async with platform.client("operator", "0") as everybodys, asyncio.timeout(30):
        while not (await everybodys.get(f"/console/v1/traces?district={OTHER}")).json()["items"]:  # noqa: ASYNC110 over HTTP
            await asyncio.sleep(0.2)

    page = await open_page("/traces", token=None)
    await page.get_by_label("令牌", exact=True).fill(platform.token("district_admin", str(DISTRICT)))
    async with page.expect_response(lambda response: "/console/v1/traces?" in response.url) as listed:
        await page.get_by_role("button", name="登录").click()
    items = json.loads(await (await listed.value).body())["items"]
    assert items
    assert {item["district"] for item in items} == {str(DISTRICT)}
    await expect(page.get_by_role("button", name="账户")).to_contain_text(str(DISTRICT))
    places = page.locator("tbody tr.row td:nth-child(4)")
    await expect(places.first).to_be_visible()
    await expect(places.filter(has_not_text=re.compile("^徐汇区"))).to_have_count(0)  # names come after the rows
