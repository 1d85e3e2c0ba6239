from uuid import uuid4

from services.points.tests.conftest import MICRO, SIBLING, STREET, rated

from linli.cloudevents import headers_of
from linli.events import Event
from linli.testing import Running, eventually, tell

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def awards(points: Running, *events: Event) -> list[dict[str, object]]:
    """Wait until each ticket's award is published, and give them in order."""
    tickets = {str(getattr(event, "ticket", None)) for event in events}

    async def published() -> list[dict[str, object]] | None:
        found = [event for event in await points.events("points.awarded.v1") if event["ticket"] in tickets]
        return found if {event["ticket"] for event in found} == tickets else None

    found: list[dict[str, object]] = await eventually(published)
    return found


async def heard(points: Running, *events: Event) -> None:
    """Tell of events, and wait until they have had their effect: what the broker says of a moment ago is not all."""
    await tell(points, *events)
    ids = [event.id for event in events]
    noted = "SELECT count(*) = $1 FROM inbox WHERE event_id = ANY ($2)"
    await eventually(lambda: points.database.fetchval(noted, len(ids), ids))


async def test_a_well_rated_ticket_earns_its_resolver_points_and_others_are_told(points: Running) -> None:
    worker = uuid4()
    events = [rated(worker, 5), rated(worker, 4)]
    await tell(points, *events)
    found = await awards(points, *events)
    assert [(event["holder"], event["amount"], event["balance"], event["unit"]) for event in found] == [
        (str(worker), 10, 10, MICRO),
        (str(worker), 10, 20, MICRO),
    ]
    assert [event["sequence"] for event in found] == [2, 3]
    assert (await points.client("resident", "310104", worker).get("/points/v1/me")).json()["balance"] == 20


async def test_an_event_that_comes_again_earns_nothing(points: Running) -> None:
    worker = uuid4()
    event = rated(worker)
    js = points.nats.jetstream()
    for _ in range(3):
        headers = headers_of(event) | {"Nats-Msg-Id": str(uuid4())}
        await js.publish(event.subject, event.model_dump_json().encode(), headers=headers)
    last = rated(worker)
    await tell(points, last)
    await awards(points, event, last)
    await eventually(lambda: _done(points))
    assert (await points.client("resident", "310104", worker).get("/points/v1/me")).json()["balance"] == 20


async def test_a_ticket_that_is_told_of_in_two_events_earns_points_once(points: Running) -> None:
    worker, ticket = uuid4(), uuid4()
    await heard(points, rated(worker, 5, ticket), rated(worker, 5, ticket))
    assert (await points.client("resident", "310104", worker).get("/points/v1/me")).json()["balance"] == 10
    assert len(await awards(points, rated(worker, 5, ticket))) == 1


async def test_a_ticket_rated_again_after_it_was_reopened_earns_points_once(points: Running) -> None:
    first, second, ticket = uuid4(), uuid4(), uuid4()
    poor, good = rated(first, 2, ticket), rated(second, 5, ticket)
    for told in ((poor, good), (rated(first, 5, ticket), rated(second, 4, ticket))):
        await heard(points, *told)
    earned = "SELECT holder, amount FROM transfer WHERE cause = $1"
    (transfer,) = await points.database.fetch(earned, ticket)
    assert (transfer["holder"], transfer["amount"]) == (second, 10)
    assert (await points.client("resident", "310104", first).get("/points/v1/me")).json()["balance"] == 0


async def test_a_badly_rated_ticket_earns_nothing(points: Running) -> None:
    worker = uuid4()
    await heard(points, rated(worker, 3))
    assert (await points.client("resident", "310104", worker).get("/points/v1/me")).json()["balance"] == 0
    assert await points.database.fetchval("SELECT count(*) FROM account WHERE holder = $1", worker) == 0


async def test_an_account_of_another_street_is_found(points: Running) -> None:
    worker = uuid4()
    here, there = rated(worker, unit=MICRO), rated(worker, unit=SIBLING)
    await tell(points, here)
    await awards(points, here)
    await tell(points, there)
    assert [event["balance"] for event in await awards(points, there)] == [20]
    account = (await points.client("resident", "310104", worker).get("/points/v1/me")).json()
    assert (account["balance"], account["unit"]) == (20, STREET)


async def test_a_unit_that_is_not_known_yet_keeps_nobody_from_his_points(points: Running) -> None:
    event = rated(uuid4(), unit="440305001001")
    await tell(points, event)
    assert [found["balance"] for found in await awards(points, event)] == [10]


async def test_the_award_belongs_to_the_trace_of_the_rating(points: Running) -> None:
    event = rated(uuid4())
    headers = headers_of(event) | {"Nats-Msg-Id": str(event.id), "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    await points.nats.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=headers)
    (found,) = await awards(points, event)
    assert str(found["headers"]).count(TRACE) == 1
    assert await points.database.fetchval("SELECT trace_id FROM transfer WHERE cause = $1", event.ticket) == TRACE


async def _done(points: Running) -> bool:
    """Tell whether everything told so far was handled."""
    info = await points.nats.jetstream().consumer_info("TICKETS", "points-tickets")
    return not info.num_pending and not info.num_ack_pending


async def test_nobody_awards_himself(points: Running) -> None:
    worker = uuid4()
    await heard(points, rated(worker).model_copy(update={"reporter": worker}), rated(worker, 5))
    assert (await points.client("resident", "310104", worker).get("/points/v1/me")).json()["balance"] == 10
