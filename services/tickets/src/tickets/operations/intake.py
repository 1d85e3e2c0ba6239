"""Taking in reports (受理): what is asked for most, so a ticket, its trail, clocks and event are one statement."""

import json
from datetime import UTC, datetime
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

import asyncpg
from sqlalchemy.exc import IntegrityError

from linli import outbox, units
from linli.direct import Database, Row, fetch
from linli.events.tickets import TicketOpened
from linli.models import uuid7
from linli.problems import Conflict, Forbidden, UnknownUnit, Unprocessable
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.models.categories import check_answers
from tickets.models.moves import Clock, Level, Move, State
from tickets.models.tickets import Source, Ticket
from tickets.operations.rules import Rules, hold_rules, known_rules, rules_of

_CLOCKS: Final = (Clock.ANSWER, Clock.SOLVE)
_COLUMNS: Final = (
    "district",
    "id",
    "unit",
    "title",
    "description",
    "category",
    "state",
    "level",
    "department",
    "visibility",
    "reporter",
    "parent",
    "source",
    "reference",
    "latitude",
    "longitude",
    "subject_kind",
    "subject",
    "answers",
    "opened_at",
    "answer_due_at",
    "solve_due_at",
    "clocks",
    "version",
)
_JSON: Final = ("answers", "clocks")
# Rules and unit are looked up beside it; nothing is written unless the ticket was made by the rules that are in force.
_TAKE_IN: Final = f"""
    WITH rules AS MATERIALIZED (
        SELECT (SELECT revision FROM district_rules WHERE district = $1) IS NOT DISTINCT FROM $25::uuid AS current,
               EXISTS (SELECT FROM known_unit WHERE district = $1 AND unit = $3 AND active) AS known
    ), opened AS (
        INSERT INTO ticket ({", ".join(_COLUMNS)})
        SELECT {", ".join(f"${number}" for number in range(1, 25))} FROM rules WHERE current AND known
    ), entered AS (
        INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, state, actor, trace_id, at)
        SELECT $1, $26, $3, $2, $11, $24, $27, $7, $11, $28, $20 FROM rules WHERE current AND known
    ), timed AS (
        INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)
        SELECT $1, kind, $2, $3, at, at
        FROM rules, unnest($29::text[], ARRAY[$21, $22]::timestamptz[]) AS clock (kind, at) WHERE current AND known
    ), told AS (
        INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers)
        SELECT $30, $31, $32, $33, $34, $35, $36 FROM rules WHERE current AND known
    )
    SELECT current, known FROM rules"""  # noqa: S608 of constants


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
    database: Database,
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
    ticket = Ticket(unit=unit, title=title, description=description, category=category, **particulars)
    await take_in(database, ticket, caller.id)
    return ticket


async def take_in(database: Database, ticket: Ticket, reporter: UUID) -> None:
    """Begin a ticket's life, as its category lays down; what is set already stays.

    Raises:
        UnknownUnit: 422, for a unit that this service has not been told of, or that is no longer in use.
        Unprocessable: 422, for a category out of use, or answers that its form does not ask for.
        ReferenceTaken: 409.
    """
    district = units.district(ticket.unit)
    await hold_rules(database, district)
    revision, rules = known_rules(district)
    asked = ticket.department
    try:
        _begin(ticket, rules, reporter)
        kept = await _keep(database, ticket, revision)
    except Unprocessable:  # by what was in force when it was last read
        kept = _BY_OLD_RULES
    if not kept["current"]:
        rules = await rules_of(database, district)
        ticket.department, ticket.clocks = asked, None
        _begin(ticket, rules, reporter)
        kept = await _keep(database, ticket, known_rules(district)[0])
    if not kept["known"]:
        raise UnknownUnit(unit=units.short(ticket.unit))
    outbox.told(database)


def _begin(ticket: Ticket, rules: Rules, reporter: UUID) -> None:
    """Give a ticket what its category says."""
    kind = rules.kind(ticket.category)
    if not kind.active:
        raise Unprocessable(errors=[_CATEGORY])
    if ticket.parent is None:  # what its form asks was asked of the whole
        check_answers(kind, ticket.answers)
    ticket.district = units.district(ticket.unit)
    ticket.id = ticket.id or uuid7()
    ticket.state = State.OPEN.value
    ticket.level = max(Level(kind.level), Level.of(ticket.unit), key=list(Level).index).value
    ticket.department = ticket.department or kind.department
    ticket.visibility = kind.visibility
    ticket.reporter = reporter
    ticket.source = ticket.source or Source.APP.value
    ticket.opened_at = datetime.now(UTC)
    for clock in _CLOCKS:
        ticket.run(clock, kind.minutes[clock], ticket.opened_at, rules.calendar)
    ticket.confirmed, ticket.reopened, ticket.followers, ticket.version = False, 0, 0, 1


_BY_OLD_RULES: Final = {"current": False}
_CATEGORY: Final = {"pointer": "#/category", "detail": "this category is out of use", "detail_zh": "该类别已停用"}


async def _keep(database: Database, ticket: Ticket, revision: UUID | None) -> Row:
    opened = TicketOpened(
        ticket=ticket.id,
        unit=ticket.unit,
        sequence=ticket.version,
        reporter=ticket.reporter,
        category=ticket.category,
        parent=ticket.parent,
    )
    columns = (
        json.dumps(value) if name in _JSON and (value := getattr(ticket, name)) is not None else getattr(ticket, name)
        for name in _COLUMNS
    )
    entry = (uuid7(), Move.OPEN.value, trace_id())
    try:
        (kept,) = await fetch(
            database, _TAKE_IN, *columns, revision, *entry, [clock.value for clock in _CLOCKS], *outbox.parcel(opened)
        )
    except (asyncpg.UniqueViolationError, IntegrityError) as error:
        if "uq_ticket_reference" in str(error):
            raise ReferenceTaken(source=ticket.source, reference=ticket.reference) from error
        raise
    return kept
