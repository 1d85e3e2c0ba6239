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


async def test_one_that_waits_is_found_behind_many_that_do_not_and_a_link_opens_any(
    open_page: Open, platform: Platform
) -> None:
    waiting, closed = await bury(platform), await bury(platform)
    async with platform.database("notifications") as notifications:
        await notifications.execute(
            """INSERT INTO dead_letter
                   (district, id, consumer, subject, headers, payload, error, deliveries, died_at, replayed_at)
               SELECT $1, gen_random_uuid(), 'notifications-tickets', 'linli.tickets.310104.opened.v1', '{}', '{}', '',
                   8, now() + interval '1 minute', now() FROM generate_series(1, 101)""",
            DISTRICT,
        )
        await notifications.execute("UPDATE dead_letter SET discarded_at = now() WHERE id = $1", closed)
    page = await open_page("/dead-letters")
    await expect(page.locator(f"tr[data-row-key='{waiting}']")).to_be_visible()
    await page.goto(f"{platform.url}/console/dead-letters?letter={closed}")
    drawer = page.get_by_role("dialog")
    await expect(drawer).to_contain_text("TimeoutError: too slow")
    await expect(drawer).to_contain_text("已放弃")
    await expect(drawer.get_by_role("button", name="重放")).to_have_count(0)


async def test_who_is_still_awaited_is_named_beside_what_others_said(open_page: Open, platform: Platform) -> None:
    letter = await bury(platform)
    page = await open_page("/map")
    await page.route("**/points/v1/dead-letters*", lambda _: None)
    await page.get_by_role("link", name="死信").click()
    await expect(page.locator(f"tr[data-row-key='{letter}']")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="仍在等待")).to_contain_text("points")
    await page.get_by_role("radiogroup", name="状态").get_by_text("已重放").click()
    await expect(page.get_by_text("所有消息都已处理。")).to_have_count(0)


async def test_whom_dead_letters_are_not_for_is_shown_none(open_page: Open, platform: Platform) -> None:
    page = await open_page("/dead-letters", token=platform.token("district_admin", str(DISTRICT)))
    await expect(page.get_by_role("heading", name="链路追踪")).to_be_attached()
    await expect(page.get_by_role("link", name="服务拓扑")).to_be_visible()
    await expect(page.get_by_role("link", name="死信")).to_have_count(0)
