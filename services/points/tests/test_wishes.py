"""A wish that came true earns points for whoever made it so."""

from uuid import UUID, uuid4

from services.points.tests.conftest import MICRO, STREET

from linli import units
from linli.events.wishes import WishConfirmed
from linli.testing import Running, eventually, tell


def confirmed(claimer: UUID, wish: UUID | None = None) -> WishConfirmed:
    return WishConfirmed(wish=wish or uuid4(), unit=units.parse(MICRO), sequence=4, wisher=uuid4(), claimer=claimer)


async def awarded(points: Running, *wishes: UUID) -> list[dict[str, object]]:
    async def published() -> list[dict[str, object]] | None:
        found = [event for event in await points.events("points.awarded.v1") if event["wish"] in map(str, wishes)]
        return found if len({event["wish"] for event in found}) == len(wishes) else None

    found: list[dict[str, object]] = await eventually(published)
    return found


async def test_whoever_made_a_wish_come_true_earns_points_for_it_once(points: Running) -> None:
    volunteer, wish = uuid4(), uuid4()
    last = confirmed(volunteer)
    await tell(points, confirmed(volunteer, wish), confirmed(volunteer, wish), last)
    found = await awarded(points, wish, last.wish)
    assert [(event["holder"], event["amount"], event["rule"], event["ticket"]) for event in found] == [
        (str(volunteer), 20, "wish_confirmed", None)
    ] * 2
    account = points.client("volunteer", "310104", volunteer)
    assert (await account.get("/points/v1/me")).json()["balance"] == 40
    (first,) = (await account.get("/points/v1/me/transfers", params={"cause": str(wish)})).json()["items"]
    assert (first["rule"], first["cause"]) == ("wish_confirmed", str(wish))


async def test_a_street_sets_what_a_wish_is_worth(points: Running) -> None:
    admin = points.client("street_admin", STREET)
    path = f"/points/v1/rules/{STREET}/wish_confirmed"
    default = await admin.get(path)
    assert default.json()["points"] == 20
    body = {"min_rating": 1, "points": 7, "active": True}
    assert (await admin.put(path, json=body, headers={"If-Match": default.headers["etag"]})).status_code == 200
    event = confirmed(uuid4())
    await tell(points, event)
    assert [found["amount"] for found in await awarded(points, event.wish)] == [7]
