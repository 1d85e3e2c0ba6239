from typing import Any

from playwright.async_api import expect
from tests.console.conftest import Open

SUBJECT = "018f0000-0000-7000-8000-000000000001"


def page_of(first: int, following: str | None) -> dict[str, Any]:
    """Make up two steps of a ticket's story."""
    items = [
        {
            "at": f"2026-01-01T00:00:{number:02}Z",
            "trace_id": f"{number:032x}",
            "span_id": f"{number:016x}",
            "parent_id": None,
            "kind": "request",
            "service": "tickets",
            "what": "POST /tickets/v1/tickets",
            "duration": 5.0,
            "error": False,
            "delivery": None,
        }
        for number in (first, first + 1)
    ]
    return {"subject": SUBJECT, "kind": "ticket", "district": "310104", "items": items, "next": following}


async def test_a_story_that_goes_on_says_so_beside_what_it_counts(open_page: Open) -> None:
    page = await open_page("/map")
    await page.route(
        f"**/console/v1/subjects/{SUBJECT}*",
        lambda route: route.fulfill(json=page_of(3, None) if "cursor" in route.request.url else page_of(1, "more")),
    )
    await page.goto(page.url.partition("/console")[0] + f"/console/subjects/{SUBJECT}")
    facts = page.locator("dl.facts .fact")
    for name, partly, whole in (("步骤", "2+", "4"), ("追踪", "2+", "4"), ("错误", "0+", "0")):
        fact = facts.filter(has=page.get_by_text(name, exact=True)).locator("dd")
        await expect(fact).to_have_text(partly)
        await page.get_by_role("button", name="加载后续").click()
        await expect(fact).to_have_text(whole)
        await page.reload()
