import random
from typing import Any

from playwright.async_api import Locator, Page, Route, expect
from tests.console.conftest import Open

TRACE = "f" * 32
SPANS = 2_000
AT = "2026-01-01T00:00:00Z"


def giant() -> dict[str, Any]:
    """Make up a trace of 2,000 spans; some failed, some came again, one waited."""
    chance = random.Random(1)  # noqa: S311 made up
    spans: list[dict[str, Any]] = []
    for number in range(SPANS):
        parent = spans[chance.randrange(max(0, number - 40), number)] if number else None
        offset = parent["offset"] + chance.random() * 5 if parent and number > 1 else 0.0
        spans.append(
            {
                "span_id": f"{number:016x}",
                "parent_id": parent and parent["span_id"],
                "service": chance.choice(["tickets", "points", "notifications"]),
                "instance": "one",
                "name": f"work {number}",
                "kind": "internal",
                "started_at": AT,
                "offset": offset,
                "duration": 1 + chance.random() * 20,
                "error": number == SPANS - 1,
                "status_message": "TimeoutError" if number == SPANS - 1 else None,
                "attributes": {"number": number},
                "events": [],
            }
        )
    wait = {"kind": "stream", "from_span": f"{0:016x}", "to_span": f"{1:016x}", "offset": 0, "duration": 1}
    return {
        "trace_id": TRACE,
        "started_at": AT,
        "duration": max(span["offset"] + span["duration"] for span in spans),
        "services": ["tickets", "points", "notifications"],
        "spans": spans,
        "logs": [],
        "waits": [wait],
        "redeliveries": [{"span_id": spans[1]["span_id"], "delivery": 3}],
        "truncated": False,
    }


async def opened(open_page: Open, query: str = "", trace: dict[str, Any] | None = None) -> Page:
    page = await open_page("/map")

    async def answer(route: Route) -> None:
        await route.fulfill(json=trace or giant())

    await page.route(f"**/console/v1/traces/{TRACE}", answer)
    await page.goto(page.url.partition("/console")[0] + f"/console/traces/{TRACE}{query}")
    await page.get_by_role("treeitem").first.wait_for()
    return page


def span(page: Page, number: int) -> Locator:
    return page.locator(f"#span-{number:016x}")


async def test_two_thousand_spans_are_walked_through_with_the_keyboard(open_page: Open) -> None:
    page = await opened(open_page)
    tree = page.get_by_role("tree")
    assert await tree.get_by_role("treeitem").count() < 100
    await tree.focus()
    await page.keyboard.press("Home")
    await expect(span(page, 0)).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("ArrowLeft")
    await expect(tree.get_by_role("treeitem")).to_have_count(1)
    await page.keyboard.press("ArrowRight")
    await expect(tree.get_by_role("treeitem").nth(1)).to_be_visible()
    await page.keyboard.press("End")
    await expect(tree.locator("[aria-selected=true]")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_redeliveries_waits_and_errors_are_marked(open_page: Open) -> None:
    page = await opened(open_page)
    await expect(span(page, 1)).to_contain_text("第 3 次投递")
    assert await span(page, 1).locator("i.wait.stream").get_attribute("title")
    await page.get_by_label("查找跨度").fill(f"work {SPANS - 1}")
    await expect(page.get_by_role("status")).to_have_text("1 个匹配")
    failed = span(page, SPANS - 1)
    await expect(failed).to_be_in_viewport()
    await expect(failed.locator("i.work.error")).to_be_visible()


async def test_a_service_with_a_long_name_takes_no_others_place(open_page: Open) -> None:
    trace = giant()
    for one in trace["spans"]:
        one["service"] = "m" * 200
    page = await opened(open_page, trace=trace)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inside = "element => element.getBoundingClientRect().right <= innerWidth"
    assert await page.get_by_role("button", name="复制链接").evaluate(inside)
    assert await page.locator("dl.facts .service").evaluate(inside)
    row = span(page, 0)
    assert await row.locator(".name").evaluate("name => name.clientWidth > 0")
    assert await row.locator(".what").evaluate("what => what.scrollWidth <= what.clientWidth")


async def test_a_link_leads_to_its_span(open_page: Open) -> None:
    page = await opened(open_page, f"?span={1234:016x}")
    await expect(span(page, 1234)).to_be_in_viewport()
    await expect(page.get_by_role("dialog")).to_contain_text("1234")


async def test_a_trace_that_is_not_there_is_told_in_both_languages(open_page: Open) -> None:
    page = await open_page(f"/traces/{'0' * 31}1")
    await expect(page.get_by_role("alert")).to_contain_text("未找到")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("alert")).to_contain_text("Not found")
