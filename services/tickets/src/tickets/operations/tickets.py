"""Use cases of tickets: taken in, found, given to somebody, and talked about; each inside the caller's transaction."""

from datetime import UTC, datetime
from typing import Any, Final, TypedDict, Unpack, cast
from uuid import UUID

from sqlalchemy import Select, Table, insert, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.events.tickets import (
    TicketAnswered,
    TicketNoted,
    TicketOpened,
    TicketWaiting,
)
from linli.outbox import publish
from linli.problems import Conflict, Forbidden, NotFound, Unprocessable
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.models.categories import check_answers
from tickets.models.moves import Clock, Level, Move, State
from tickets.models.tickets import Entry, Source, Ticket
from tickets.operations.rules import Rules, rules_at, rules_of

LATE: Final = (Clock.ANSWER, Clock.SOLVE, Clock.STREET, Clock.DISTRICT)
"""The clocks that make a ticket overdue."""


class ReferenceTaken(Conflict):
    """A ticket came from {source} as {reference} before."""

    title_zh = "外部编号重复"
    detail_zh = "来源 {source} 的编号 {reference} 已有工单。"


class Particulars(TypedDict, total=False):
    """What a report may say besides.

    Attributes:
        source: how it came (来源).
        reference: its number there.
        latitude: where exactly, with the longitude.
        subject_kind: what it is about: `resident`, `household`, `organisation` or `place`, by its id in `subject`.
        answers: what the category's form asks for.
    """

    source: str
    reference: str | None
    latitude: float | None
    longitude: float | None
    subject_kind: str | None
    subject: str | None
    answers: dict[str, Any] | None


async def open_ticket(  # noqa: PLR0913 a report is these facts
    session: AsyncSession,
    caller: Principal,
    *,
    unit: int,
    title: str,
    description: str,
    category: str,
    **particulars: Unpack[Particulars],
) -> Ticket:
    """Take in a report (上报).

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        Forbidden: 403, for a resident who gives himself out as the hotline.
        UnknownUnit: 422.
        Unprocessable: 422, for a category out of use, or answers that its form does not ask for.
        ReferenceTaken: 409.
    """
    caller.must_cover(unit)
    if particulars.get("source") in {Source.HOTLINE, Source.PATROL} and caller.scope.role == "linli_person":
        raise Forbidden(permission="tickets.resolve")
    rules = await rules_at(session, unit)
    kind = rules.kind(category)
    if not kind.active:
        raise Unprocessable(errors=[_CATEGORY])
    check_answers(kind, particulars.get("answers"))
    ticket = Ticket(unit=unit, title=title, description=description, category=category, **particulars)
    await take_in(session, ticket, rules, caller.id)
    return ticket


async def take_in(session: AsyncSession, ticket: Ticket, rules: Rules, reporter: UUID) -> None:
    """Begin a ticket's life, as its category lays down; what is set already stays.

    Raises:
        ReferenceTaken: 409.
    """
    kind = rules.kind(ticket.category)
    ticket.district = units.district(ticket.unit)
    ticket.state = State.OPEN.value
    ticket.level = max(Level(kind.level), Level.of(ticket.unit), key=list(Level).index).value
    ticket.department = ticket.department or kind.department
    ticket.visibility = kind.visibility
    ticket.reporter = reporter
    ticket.opened_at = datetime.now(UTC)
    due = {
        clock.value: ticket.run(clock, kind.minutes[clock], ticket.opened_at, rules.calendar)
        for clock in (Clock.ANSWER, Clock.SOLVE)
    }
    session.add(ticket)
    try:
        await enter(session, ticket, Move.OPEN, reporter, None)
    except IntegrityError as error:
        if "uq_ticket_reference" in str(error.orig):
            raise ReferenceTaken(source=ticket.source, reference=ticket.reference) from error
        raise
    await timers.set(session, aggregate=ticket.id, unit=ticket.unit, due=due)
    await publish(
        session,
        TicketOpened(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=reporter,
            category=ticket.category,
            parent=ticket.parent,
        ),
    )


_CATEGORY: Final = {"pointer": "#/category", "detail": "this category is out of use", "detail_zh": "该类别已停用"}


async def find_ticket(session: AsyncSession, ticket_id: UUID, *, to_change: bool = False) -> Ticket:
    """Read a ticket; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Ticket).where(Ticket.id == ticket_id)
    # Its key never changes, so that what refers to it may come meanwhile: an entry, another part of the same whole.
    ticket = await session.scalar(statement.with_for_update(key_share=True) if to_change else statement)
    if ticket is None:
        raise NotFound(kind="ticket", id=str(ticket_id))
    return ticket


def tickets_within(
    district: int, unit: int | None, *, overdue: bool = False, **equal: UUID | str | None
) -> Select[tuple[Ticket]]:
    """Select a district's tickets by where they are, whether a clock has run out, and what their columns hold."""
    # Said though the caller sees no other: with it the newest are found by the key, without it all are sorted.
    statement = select(Ticket).where(Ticket.district == district)
    if unit is not None:
        statement = statement.where(Ticket.unit.between(*units.span(unit)))
    for name, value in equal.items():
        if value is not None:
            statement = statement.where(getattr(Ticket, name) == value)
    if overdue:
        statement = statement.where(tuple_(Ticket.district, Ticket.id).in_(timers.overdue(*LATE)))
    return statement


def entries_of(ticket: Ticket) -> Select[tuple[Entry]]:
    """Select a ticket's trail, but for steps that only a newer version knows: one may write beside this one."""
    known = Entry.move.in_([move.value for move in Move])
    return select(Entry).where(Entry.district == ticket.district, Entry.ticket_id == ticket.id, known)


async def ask_reporter(session: AsyncSession, caller: Principal, ticket: Ticket, note: str) -> None:
    """Ask the reporter for something (等待诉求人): the clocks stand still until he answers.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.move(Move.ASK, caller)
    rules = await rules_of(session, ticket.district)
    paused = ticket.pause(datetime.now(UTC), rules.calendar)
    await enter(session, ticket, Move.ASK, caller.id, note)
    await timers.cancel(session, aggregate=ticket.id, unit=ticket.unit, kinds=paused)
    await publish(
        session,
        TicketWaiting(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            asked_by=caller.id,
        ),
    )


async def answer_for_reporter(session: AsyncSession, caller: Principal, ticket: Ticket, note: str) -> None:
    """Say what the reporter was asked for (补充答复), he or who manages the ticket's unit; the clocks go on.

    Raises:
        NotYours: 403.
        IllegalMove: 409.
    """
    ticket.move(Move.ANSWER, caller)
    rules = await rules_of(session, ticket.district)
    due = ticket.go_on(datetime.now(UTC), rules.calendar)
    await enter(session, ticket, Move.ANSWER, caller.id, note)
    if due:
        await timers.set(session, aggregate=ticket.id, unit=ticket.unit, due=due)
    await publish(
        session,
        TicketAnswered(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            answered_by=caller.id,
        ),
    )


async def note_ticket(
    session: AsyncSession, caller: Principal, ticket: Ticket, note: str | None, **facts: object
) -> None:
    """Add a word to a ticket (补充说明), whatever its state.

    Raises:
        NotYours: 403.
    """
    ticket.move(Move.NOTE, caller)
    await enter(session, ticket, Move.NOTE, caller.id, note, **facts)
    await publish(
        session,
        TicketNoted(
            ticket=ticket.id,
            unit=ticket.unit,
            sequence=ticket.version,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            noted_by=caller.id,
        ),
    )


async def enter(
    session: AsyncSession, ticket: Ticket, move: Move, actor: UUID, note: str | None, **facts: object
) -> None:
    """Write a step into the ticket's trail (全程留痕); the flush numbers it by the ticket's new version.

    Args:
        session: an open transaction in which the ticket was locked and changed, if only by `ticket.touch()`.
        ticket: whose trail.
        move: what was done.
        actor: who did it, `NOBODY` for a clock.
        note: what was said with it.
        facts: ids, codes and numbers that belong to it.
    """
    await session.flush()
    entry = {
        "district": ticket.district,
        "unit": ticket.unit,
        "ticket_id": ticket.id,
        "reporter": ticket.reporter,
        "sequence": ticket.version,
        "move": move.value,
        "state": ticket.state,
        "facts": facts or None,
        "actor": actor,
        "note": note,
        "trace_id": trace_id(),
        "at": datetime.now(UTC),
    }
    await session.execute(_ENTER, entry)


# Of the table, not of the class: nobody reads it back here, and each step writes one.
_ENTER: Final = insert(cast("Table", Entry.__table__))
