from uuid import UUID, uuid4

from playwright.async_api import Locator, Page, expect
from tests.console.conftest import Open
from tests.integration.conftest import Platform

DISTRICT = 310104


async def bury(platform: Platform, *, broken: bool = False) -> UUID:
    """Make a dead letter for notifications of something that did happen; a broken one can't be read."""
    async with platform.database("tickets") as tickets:
        event = await tickets.fetchrow(
            "SELECT * FROM event_log WHERE district = $1 AND subject LIKE '%.opened.v1' LIMIT 1", DISTRICT
        )
    assert event
    letter = uuid4()
    async with platform.database("notifications") as notifications:
        await notifications.execute(
            """INSERT INTO dead_letter
                   (district, id, consumer, event_id, subject, headers, payload, error, deliveries)
               VALUES ($1, $2, 'notifications-tickets', $3, $4, $5, $6, 'TimeoutError: too slow', 8)""",
            DISTRICT,
            letter,
            event["event_id"],
            event["subject"],
            event["headers"],
            b'{"ticket": "nonsense"}' if broken else event["payload"],
        )
    return letter


async def inspect(page: Page, letter: UUID) -> Locator:
    await page.locator(f"tr[data-row-key='{letter}']").get_by_role("button").click()
    drawer = page.get_by_role("dialog")
    await expect(drawer).to_contain_text("TimeoutError: too slow")
    await expect(drawer).to_contain_text("ce-type")
    return drawer


async def test_a_dead_letter_is_read_and_replayed(open_page: Open, platform: Platform) -> None:
    letter = await bury(platform)
    page = await open_page("/dead-letters")
    drawer = await inspect(page, letter)
    await expect(drawer).to_contain_text('"reporter":')
    await drawer.get_by_role("button", name="重放").click()
    await expect(page.get_by_text("已重放，消息处理成功。")).to_be_visible()
    await expect(page.locator(f"tr[data-row-key='{letter}']")).to_have_count(0)
    async with platform.database("notifications") as notifications:
        assert await notifications.fetchval("SELECT replayed_at FROM dead_letter WHERE id = $1", letter)


async def test_what_still_fails_says_why_and_can_be_given_up(open_page: Open, platform: Platform) -> None:
    letter = await bury(platform, broken=True)
    page = await open_page("/dead-letters?service=notifications")
    drawer = await inspect(page, letter)
    await drawer.get_by_role("button", name="重放").click()
    await expect(drawer.get_by_role("alert")).to_contain_text("重放失败")
    await expect(drawer.get_by_role("alert")).to_contain_text("追踪编号")
    await drawer.get_by_role("button", name="放弃").click()
    await page.get_by_role("tooltip").get_by_role("button", name="放弃").click()
    await expect(page.get_by_text("已放弃。")).to_be_visible()
    await page.get_by_role("radiogroup", name="状态").get_by_text("已放弃").click()
    await expect(page.locator(f"tr[data-row-key='{letter}']")).to_contain_text("已放弃")


async def test_a_service_that_does_not_answer_hides_nobody_elses(open_page: Open, platform: Platform) -> None:
    letter = await bury(platform)
    page = await open_page("/map")
    await page.route("**/bookings/v1/dead-letters*", lambda route: route.fulfill(status=503, json={}))
    await page.get_by_role("link", name="死信").click()
    await expect(page.locator(f"tr[data-row-key='{letter}']")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("bookings")
