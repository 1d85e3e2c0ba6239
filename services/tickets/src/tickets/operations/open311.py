"""What everybody may read through Open311: the tickets of categories that a district has made public.

It is read in the scope of the jurisdiction that was asked for, so a street's shows that street alone. Of a ticket there
is to be seen what it is about, in which community, how it stands and since when. What was said, and where exactly, is
shown of reports that came through Open311 only, whose reporters know that they publish: others spoke to their street.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.models import KnownUnit
from tickets.models.categories import Category, Visibility
from tickets.models.moves import Move, Outcome, State
from tickets.models.open311 import ArgumentInvalid
from tickets.models.tickets import Entry, Ticket
from tickets.operations.open311_services import name_of
from tickets.operations.rules import rules_of
from tickets.schemas.open311 import RequestUpdate, ServiceRequest, Status

SOURCE: Final = "open311"
MOST: Final = 1000
SPAN: Final = timedelta(days=90)
_A_DAY: Final = timedelta(days=1).total_seconds()


def public_tickets(unit: int) -> Select[tuple[Ticket, datetime]]:
    """Select the tickets that everybody may see, each with the time of its last step; parts of one are not shown."""
    last = (
        select(Entry.at)
        .where(Entry.district == Ticket.district, Entry.ticket_id == Ticket.id)
        .order_by(Entry.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(Ticket, last).where(_public(unit))


def _public(unit: int) -> ColumnElement[bool]:
    return and_(
        Ticket.district == units.district(unit),
        Ticket.unit.between(*units.span(unit)),
        Ticket.visibility == Visibility.PUBLIC.value,
        Ticket.parent.is_(None),
    )


def window(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """Complete a range of time: the last 90 days, or 90 days from its start or up to its end.

    Raises:
        ArgumentInvalid: 400, for more than 90 days, or an end before the start.
    """
    if start is None:
        end = end or datetime.now(UTC)
        return end - min(SPAN, end - _EARLIEST), end
    end = end or start + min(SPAN, _LATEST - start)
    if not start <= end <= start + min(SPAN, _LATEST - start):
        raise ArgumentInvalid(
            name="end_date", reason="from start_date on, 90 days at the most (起止时间最多相距 90 天)"
        )
    return start, end


_EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)


def _born(column: Any, start: datetime, end: datetime) -> ColumnElement[bool]:  # noqa: ANN401 a column of ids
    """Narrow ids to those made in a range, as they begin with the time: the primary key serves that."""
    # In seconds, as there is no day before the first.
    seconds = (start.timestamp() - _A_DAY, end.timestamp() + _A_DAY)
    low, high = (max(0, int(at * 1000)) << 80 for at in seconds)
    found: ColumnElement[bool] = column.between(UUID(int=low), UUID(int=high))
    return found


async def service_requests(
    session: AsyncSession,
    unit: int,
    codes: Collection[str],
    statuses: Collection[Status],
    within: tuple[datetime, datetime],
) -> list[ServiceRequest]:
    """List public tickets that were opened in a time, the newest first."""
    start, end = within
    statement = public_tickets(unit).where(_born(Ticket.id, start, end), Ticket.opened_at.between(start, end))
    if codes:
        statement = statement.where(Ticket.category.in_(codes))
    if len(statuses) == 1:
        closed = Ticket.state == State.CLOSED.value
        statement = statement.where(closed if "closed" in statuses else ~closed)
    return await shown(session, unit, statement.order_by(Ticket.id.desc()).limit(MOST))


async def named_requests(session: AsyncSession, unit: int, ids: Collection[UUID]) -> list[ServiceRequest]:
    """List public tickets by their ids."""
    return await shown(session, unit, public_tickets(unit).where(Ticket.id.in_(ids)).order_by(Ticket.id.desc()))


async def shown(session: AsyncSession, unit: int, statement: Select[tuple[Ticket, datetime]]) -> list[ServiceRequest]:
    """Give tickets as everybody may see them."""
    rows = (await session.execute(statement)).tuples().all()
    described = (await rules_of(session, units.district(unit))).described
    names = await _names(session, unit, rows)
    questions = await _questions(session, unit, [ticket.id for ticket, _ in rows if ticket.state == State.WAITING])
    return [
        _shown(ticket, updated, described.get(ticket.category), names, questions.get(ticket.id))
        for ticket, updated in rows
    ]


async def _names(session: AsyncSession, unit: int, rows: Iterable[tuple[Ticket, datetime | None]]) -> dict[int, str]:
    wanted = {one for ticket, _ in rows for one in (_community(ticket.unit), ticket.handler)}
    found = select(KnownUnit.unit, KnownUnit.name).where(
        KnownUnit.district == units.district(unit), KnownUnit.unit.in_(wanted)
    )
    return dict((await session.execute(found)).tuples().all()) if wanted else {}


async def _questions(session: AsyncSession, unit: int, waiting: Collection[UUID]) -> dict[UUID, str | None]:
    """Give what was asked last of each who reported through Open311."""
    asked = (
        select(Entry.ticket_id, Entry.note)
        .where(Entry.district == units.district(unit), Entry.ticket_id.in_(waiting), Entry.move == Move.ASK.value)
        .where(Entry.facts["open311"].is_not(None))
        .order_by(Entry.sequence)
    )
    return dict((await session.execute(asked)).tuples().all()) if waiting else {}


def _shown(
    ticket: Ticket,
    updated: datetime | None,
    category: Category | None,
    names: Mapping[int, str],
    question: str | None,
) -> ServiceRequest:
    said_to_all = ticket.source == SOURCE
    where = _community(ticket.unit)
    return ServiceRequest(
        service_request_id=str(ticket.id),
        status=_status(ticket.state),
        status_notes=f"{_note(ticket)}: {question}" if question else _note(ticket),
        service_name=name_of(category) or ticket.category,
        service_code=ticket.category,
        description=ticket.description if said_to_all else None,
        agency_responsible=names.get(ticket.handler),
        service_notice=None,
        requested_datetime=ticket.opened_at,
        updated_datetime=ticket.closed_at or updated or ticket.opened_at,
        expected_datetime=ticket.solve_due_at if ticket.state != State.CLOSED.value else None,
        address=names.get(where),
        address_id=units.short(where),
        zipcode=None,
        lat=ticket.latitude if said_to_all else None,
        long=ticket.longitude if said_to_all else None,
        media_url=None,
    )


def _community(unit: int) -> int:
    """Give the community of a unit, or the unit itself: a grid or staircase would tell where somebody lives."""
    return unit - unit % 10**6


def _status(state: str | None) -> Status:
    return "closed" if state == State.CLOSED.value else "open"


_STATES: Final = {
    State.OPEN: "已受理 Received",
    State.ASSIGNED: "处理中 Being dealt with",
    State.WAITING: "等待诉求人补充 Waiting for the reporter",
    State.SPLIT: "多部门处理中 Several departments deal with it",
    State.RESOLVED: "已办结，待确认 Dealt with, to be confirmed",
    State.CLOSED: "已结案 Closed",
}
_OUTCOMES: Final = {
    Outcome.FIXED: "已解决 Fixed",
    Outcome.NOT_FIXED: "未解决 Not fixed",
    Outcome.WITHDRAWN: "已撤回 Withdrawn",
    Outcome.DUPLICATE: "重复诉求，已并单 Duplicate",
    Outcome.NO_ANSWER: "已办结，逾期未确认 Dealt with, not confirmed",
}


def _note(ticket: Ticket) -> str:
    return _OUTCOMES[Outcome(ticket.outcome)] if ticket.outcome else _STATES[State(ticket.state)]


_REOPENED: Final = "重新办理 Reopened"
_TOLD: Final = {
    Move.OPEN: _STATES[State.OPEN],
    Move.ASSIGN: _STATES[State.ASSIGNED],
    Move.ASK: _STATES[State.WAITING],
    Move.ANSWER: "诉求人已补充 The reporter has answered",
    Move.ESCALATE: "已升级 Raised to the level above",
    Move.SPLIT: _STATES[State.SPLIT],
    Move.RESOLVE: _STATES[State.RESOLVED],
    Move.PARTS_DONE: _STATES[State.RESOLVED],
    Move.CLOSE: _STATES[State.CLOSED],
    Move.REOPEN: _REOPENED,
    Move.POORLY_RATED: _REOPENED,
    Move.WITHDRAW: _OUTCOMES[Outcome.WITHDRAWN],
    Move.FOLD: _OUTCOMES[Outcome.DUPLICATE],
    Move.UNFOLD: _REOPENED,
}
"""The steps that everybody is told of, all that change the state among them.

What was said with them stays with those who deal with the matter, but for what was said through Open311, or asked of
who is there: the step's `facts` have an `open311`.
"""


async def request_updates(session: AsyncSession, unit: int, start: datetime, end: datetime) -> list[RequestUpdate]:
    """List the steps of public tickets in a time, the oldest first."""
    # What is given to somebody while it waits for its reporter goes on waiting.
    waits = and_(Entry.move == Move.ASSIGN.value, Entry.state.is_not_distinct_from(State.WAITING.value))
    told = and_(Entry.move.in_([*_TOLD]), ~waits) | Entry.facts["open311"].is_not(None)
    statement = (
        select(Entry)
        .join(Ticket, and_(Ticket.district == Entry.district, Ticket.id == Entry.ticket_id))
        .where(_public(unit), Entry.district == units.district(unit), _born(Entry.id, start, end))
        .where(Entry.at.between(start, end), told)
        .order_by(Entry.id)
        .limit(MOST)
    )
    return [
        RequestUpdate(
            update_id=str(entry.id),
            service_request_id=str(entry.ticket_id),
            status="closed" if entry.move == Move.CLOSE.value else _status(entry.state),
            updated_datetime=entry.at,
            description=_said(entry),
            media_url=None,
        )
        for entry in await session.scalars(statement)
    ]


def _said(entry: Entry) -> str:
    if "open311" in (entry.facts or {}) and entry.note:
        return entry.note
    return _TOLD.get(Move(entry.move), "")
