from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.notifications.tests.conftest import MICRO, inbox, reported

from linli import units
from linli.cloudevents import headers_of
from linli.events.bookings import BookingCancelled, SeatBooked
from linli.events.points import PointsAwarded
from linli.events.tickets import (
    TicketAssigned,
    TicketClosed,
    TicketOpened,
    TicketOverdue,
    TicketRated,
    TicketResolved,
)
from linli.testing import Running, eventually, tell

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
UNIT = units.parse(MICRO)


async def told(notifications: Running, person: UUID, count: int) -> list[dict[str, Any]]:
    """Wait until a person has so many messages, and give them, oldest first."""
    client = notifications.client("resident", "310104", person)

    async def arrived() -> list[dict[str, Any]] | None:
        found = await inbox(client)
        return found[::-1] if len(found) >= count else None

    found: list[dict[str, Any]] = await eventually(arrived)
    assert len(found) == count
    return found


async def test_a_reporter_is_told_at_every_step_and_the_assignee_of_what_is_his(notifications: Running) -> None:
    ticket, reporter, worker, manager = uuid4(), uuid4(), uuid4(), uuid4()
    of_it: dict[str, Any] = {"ticket": ticket, "unit": UNIT, "reporter": reporter}
    steps = [
        TicketOpened(**of_it, sequence=1, category="other"),
        TicketAssigned(**of_it, sequence=2, assignee=worker, assigned_by=manager),
        TicketResolved(**of_it, sequence=3, assignee=worker, resolved_by=worker),
        TicketClosed(**of_it, sequence=4, assignee=worker, closed_by=reporter),
        TicketRated(**of_it, sequence=5, resolved_by=worker, rating=5),
    ]
    for number, step in enumerate(steps[:4], start=1):
        await tell(notifications, step)
        await told(notifications, reporter, number)
    await tell(notifications, steps[4])
    await tell(
        notifications,
        PointsAwarded(
            transfer=uuid4(),
            unit=UNIT,
            sequence=2,
            holder=worker,
            ticket=ticket,
            rule="ticket_rated",
            amount=10,
            balance=40,
        ),
    )
    to_reporter = await told(notifications, reporter, 4)
    assert [message["kind"] for message in to_reporter] == [
        "ticket_opened",
        "ticket_assigned",
        "ticket_resolved",
        "ticket_closed",
    ]
    to_worker = {message["kind"]: message for message in await told(notifications, worker, 3)}
    assert set(to_worker) == {"ticket_assigned_to_you", "ticket_rated", "points_awarded"}
    assert "5" in to_worker["ticket_rated"]["body"]
    assert to_worker["points_awarded"]["body"] == "You earned 10 points and have 40 now."
    assert {message["subject"] for message in [*to_reporter, *to_worker.values()]} == {str(ticket)}
    assert await inbox(notifications.client("resident", "310104", manager)) == []
    published = await notifications.events("notifications.notified.v1")
    causes = {(event["cause"], event["recipient"]) for event in published}
    assert {(str(step.id), str(reporter)) for step in steps[:4]} <= causes
    assert {(str(steps[1].id), str(worker)), (str(steps[4].id), str(worker))} <= causes


async def test_one_who_is_reporter_and_assignee_is_told_what_he_has_to_do(notifications: Running) -> None:
    person = uuid4()
    event = TicketAssigned(ticket=uuid4(), unit=UNIT, sequence=2, reporter=person, assignee=person, assigned_by=uuid4())
    await tell(notifications, event)
    assert [message["kind"] for message in await told(notifications, person, 1)] == ["ticket_assigned_to_you"]


async def test_who_answers_for_an_overdue_ticket_and_the_managers_there_are_told(notifications: Running) -> None:
    worker, reporter, *managers = (uuid4() for _ in range(4))
    of_it: dict[str, Any] = {"ticket": uuid4(), "unit": UNIT, "reporter": reporter, "supervisors": tuple(managers)}
    at = datetime(2026, 2, 27, 16, 30, tzinfo=UTC)
    await tell(notifications, TicketOverdue(**of_it, sequence=2, clock="answer", due_at=at))
    for manager in managers:
        (unanswered,) = await told(notifications, manager, 1)
        assert unanswered["kind"] == "ticket_answer_overdue"
        assert "2026-02-28 00:30" in unanswered["body"]
        assert "2026-02-28 00:30" in unanswered["body_zh"]
    await tell(notifications, TicketOverdue(**of_it, assignee=worker, sequence=4, clock="solve", due_at=at))
    (unsolved,) = await told(notifications, worker, 1)
    assert unsolved["kind"] == "ticket_solve_overdue"
    for manager in managers:
        assert [message["kind"] for message in await told(notifications, manager, 2)][1] == "ticket_solve_overdue"
    assert await inbox(notifications.client("resident", "310104", reporter)) == []


async def test_an_overdue_ticket_where_nobody_is_in_office_tells_nobody(notifications: Running) -> None:
    nobody_there = TicketOverdue(
        ticket=uuid4(), unit=UNIT, reporter=uuid4(), sequence=2, clock="answer", due_at=datetime.now(UTC)
    )
    manager = uuid4()
    later = nobody_there.model_copy(update={"id": uuid4(), "ticket": uuid4(), "supervisors": (manager,)})
    await tell(notifications, nobody_there, later)
    await told(notifications, manager, 1)
    received = "SELECT count(*) = 2 FROM inbox WHERE event_id = ANY ($1)"
    await eventually(lambda: notifications.database.fetchval(received, [nobody_there.id, later.id]))


async def test_a_person_is_told_of_a_seat_and_that_it_was_given_back(notifications: Running) -> None:
    person, booking, session = uuid4(), uuid4(), uuid4()
    of_it: dict[str, Any] = {"booking": booking, "unit": UNIT, "session": session, "person": person}
    await tell(notifications, SeatBooked(**of_it, sequence=1, starts_at=datetime(2026, 3, 1, 10, 30, tzinfo=UTC)))
    (booked,) = await told(notifications, person, 1)
    assert (booked["kind"], booked["subject"]) == ("seat_booked", str(booking))
    assert "2026-03-01 18:30" in booked["body_zh"]
    await tell(notifications, BookingCancelled(**of_it, sequence=2))
    assert [message["kind"] for message in await told(notifications, person, 2)] == ["seat_booked", "booking_cancelled"]


async def test_points_for_no_ticket_are_about_themselves(notifications: Running) -> None:
    person, transfer = uuid4(), uuid4()
    event = PointsAwarded(transfer=transfer, unit=UNIT, sequence=2, holder=person, rule="gift", amount=1, balance=1)
    await tell(notifications, event)
    (message,) = await told(notifications, person, 1)
    assert message["subject"] == str(transfer)


async def test_an_event_that_comes_again_tells_nobody_again(notifications: Running) -> None:
    person = uuid4()
    event = reported(person)
    for _ in range(3):
        headers = headers_of(event) | {"Nats-Msg-Id": str(uuid4())}
        await notifications.nats.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=headers)
    await told(notifications, person, 1)
    await eventually(lambda: _done(notifications))
    await told(notifications, person, 1)
    again = [event for event in await notifications.events() if event["recipient"] == str(person)]
    assert len(again) == 1


async def test_a_message_belongs_to_the_trace_of_what_it_tells(notifications: Running) -> None:
    person = uuid4()
    event = reported(person)
    headers = headers_of(event) | {"Nats-Msg-Id": str(event.id), "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    await notifications.nats.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=headers)
    (message,) = await told(notifications, person, 1)
    assert message["trace_id"] == TRACE
    (published,) = [event for event in await notifications.events() if event["recipient"] == str(person)]
    assert TRACE in published["headers"]["traceparent"]


async def _done(notifications: Running) -> bool:
    """Tell whether everything told so far was handled."""
    info = await notifications.nats.jetstream().consumer_info("TICKETS", "notifications-tickets")
    return not info.num_pending and not info.num_ack_pending
