"""The demo's scenes: a ticket on its way from report to rating, and a session whose seats are booked."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from linli_cli.demo_cast import Beat, Cast
from linli_cli.demo_plan import STREET, Errand
from linli_cli.demo_run import Actor, Run
from linli_cli.demo_story import Happening, Story, inbox

STEPS: Final = ("open", "assign", "resolve", "close", "rate")
SEATS: Final = 6
CONTENT: Final = 3
"""The lowest rating that leaves a ticket closed."""
_CENTRE: Final = "天平邻里汇"
_CHINA: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Rule:
    """What the street gives for a rating."""

    min_rating: int
    points: int
    active: bool

    @classmethod
    async def of(cls, chief: Actor) -> "Rule":
        """Read the rule that holds."""
        found = (await chief.api.get(f"/points/v1/rules/{STREET}/ticket_rated")).json()
        return cls(found["min_rating"], found["points"], found["active"])

    def points_for(self, rating: int) -> int:
        """Give what a rating earns."""
        return self.points if self.active and rating >= self.min_rating else 0


async def play_ticket(errand: Errand, cast: Cast, run: Run, rule: Rule, advance: Callable[[], None]) -> Story:
    """A resident reports, the manager assigns, the worker resolves, the reporter closes and rates."""
    reporter, beat = cast.residents[errand.reporter], cast.beats[errand.beat]
    trace = run.trace(errand.number)
    title, description, category = errand.matter
    report = {"unit": errand.place, "title": title, "description": description, "category": category}
    answer = await reporter.post("/tickets/v1/tickets", report, key=run.key(errand.number, "open"), trace=trace)
    advance()
    ticket = answer.json()["id"]
    moves: list[tuple[str, Actor, dict[str, Any]]] = [
        ("assign", beat.manager, {"assignee": beat.worker.id}),
        ("resolve", beat.worker, {"note": "已到场处理"}),
        ("close", reporter, {}),
        ("rate", reporter, {"rating": errand.rating}),
    ]
    for move, actor, body in moves:
        answer = await actor.post(
            f"/tickets/v1/tickets/{ticket}/{move}",
            body,
            key=run.key(errand.number, move),
            trace=trace,
            etag=answer.headers["ETag"],
        )
        advance()
    points = rule.points_for(errand.rating)
    look = _look_at_ticket(ticket, reporter, beat)
    expected = _expected(points, reopened=errand.rating < CONTENT)
    return Story(ticket, f"{title} {'★' * errand.rating}", errand.place, trace, expected, look)


def _expected(points: int, *, reopened: bool) -> Counter[str]:
    told = ("ticket_opened", "ticket_assigned", "ticket_resolved", "ticket_closed")
    kinds = [f"tickets {step}" for step in STEPS]
    kinds += [f"notifications {kind} → reporter" for kind in told]
    kinds += [f"notifications {kind} → assignee" for kind in ("ticket_assigned_to_you", "ticket_rated")]
    if reopened:
        kinds += ["tickets poorly_rated", "notifications ticket_reopened → reporter"]
        kinds += ["notifications ticket_reopened_to_you → assignee"]
    if points:
        kinds += [f"points +{points}", "notifications points_awarded → assignee"]
    return Counter(kinds)


def _look_at_ticket(ticket: str, reporter: Actor, beat: Beat) -> Callable[[], Any]:
    async def look() -> list[Happening]:
        steps = await reporter.items(f"/tickets/v1/tickets/{ticket}/timeline")
        transfers = await beat.worker.items("/points/v1/me/transfers", cause=ticket)
        return [
            *(Happening(_time(row["at"]), "tickets", row["move"], row["trace_id"]) for row in steps),
            *await inbox(reporter, ticket, "reporter"),
            *await inbox(beat.worker, ticket, "assignee"),
            *(Happening(_time(row["at"]), "points", f"+{row['amount']}", row["trace_id"]) for row in transfers),
        ]

    return look


async def play_session(cast: Cast, run: Run, advance: Callable[[], None]) -> Story:
    """The street offers a session at its neighbourhood centre, residents book, one gives the seat back."""
    trace = run.trace("session")
    centres = await cast.chief.items("/bookings/v1/centres", within=STREET)
    centre = next((one for one in centres if one["name"] == _CENTRE), None)
    if centre is None:
        body: dict[str, Any] = {"unit": STREET, "name": _CENTRE, "address": "天平路街道"}
        centre = (await cast.chief.post("/bookings/v1/centres", body, key=run.key("centre"))).json()
    starts = (run.began.astimezone(_CHINA) + timedelta(days=2)).replace(hour=10, minute=0, second=0, microsecond=0)
    body = {
        "title": "银龄书法课",
        "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(hours=2)).isoformat(),
        "seats": SEATS,
    }
    path = f"/bookings/v1/centres/{centre['id']}/sessions"
    session = (await cast.chief.post(path, body, key=run.key("session"), trace=trace)).json()["id"]
    path = f"/bookings/v1/sessions/{session}/bookings"
    guests = cast.residents[:4]
    bookings: list[str] = []
    for number, guest in enumerate(guests):
        booked = await guest.post(path, key=run.key("seat", number), trace=trace)
        bookings.append(booked.json()["id"])
        advance()
    cancel = f"/bookings/v1/bookings/{bookings[-1]}/cancel"
    await guests[-1].post(cancel, key=run.key("cancel"), trace=trace, etag=booked.headers["ETag"])
    advance()
    expected = Counter({"bookings booked": len(guests), "bookings cancelled": 1})
    expected |= {"notifications seat_booked → guest": len(guests), "notifications booking_cancelled → guest": 1}
    look = _look_at_session(path, cast.chief, dict(zip(bookings, guests, strict=True)))
    return Story(session, body["title"], STREET, trace, expected, look)


def _look_at_session(path: str, chief: Actor, guests: dict[str, Actor]) -> Callable[[], Any]:
    async def look() -> list[Happening]:
        found: list[Happening] = []
        for row in await chief.items(path):
            found.append(Happening(_time(row["booked_at"]), "bookings", "booked", None))
            if row["cancelled_at"]:
                found.append(Happening(_time(row["cancelled_at"]), "bookings", "cancelled", None))
        for booking, guest in guests.items():
            found += await inbox(guest, booking, "guest")
        return found

    return look


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
