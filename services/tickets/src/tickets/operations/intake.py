"""Taking in reports (受理): what is asked for most, so a ticket, its trail, clocks and event are one statement."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, ClassVar, Final, TypedDict, Unpack
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy.exc import IntegrityError

from linli import outbox, together, units
from linli.direct import Database, Row
from linli.events.tickets import TicketOpened
from linli.models import uuid7
from linli.problems import Conflict, Forbidden, UnknownUnit, Unprocessable
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.models.categories import Visibility
from tickets.models.clocks import running
from tickets.models.moves import Clock, Level, Move, State
from tickets.models.tickets import Source, handler_of
from tickets.operations.offices import answering_for
from tickets.operations.rules import Rules, hold_rules, known_rules, rules_of

_CLOCKS: Final = (Clock.ANSWER, Clock.SOLVE)
_LEVELS: Final = list(Level)
_TICKET: Final = {
    "district": "integer",
    "id": "uuid",
    "unit": "bigint",
    "title": "text",
    "description": "text",
    "category": "text",
    "state": "text",
    "level": "text",
    "department": "text",
    "visibility": "text",
    "reporter": "uuid",
    "parent": "uuid",
    "source": "text",
    "reference": "text",
    "latitude": "double precision",
    "longitude": "double precision",
    "subject_kind": "text",
    "subject": "text",
    "answers": "jsonb",
    "opened_at": "timestamptz",
    "answer_due_at": "timestamptz",
    "solve_due_at": "timestamptz",
    "clocks": "jsonb",
    "version": "bigint",
}
_ROW: Final = attrgetter(*(f"{name}_json" if name in {"answers", "clocks"} else name for name in _TICKET))
_BESIDES: Final = {
    "rules": "uuid",
    "entry": "uuid",
    "trace": "text",
    "event": "uuid",
    "tenant": "integer",
    "aggregate": "text",
    "shard": "smallint",
    "topic": "text",
    "payload": "bytea",
    "headers": "jsonb",
}
_REACH: Final = together.reach("report")
# Rules and unit are looked up beside it; nothing is written unless the ticket was made by the rules that are in force.
_TAKE_IN: Final = f"""
    WITH report AS MATERIALIZED (
        SELECT *,
               (SELECT revision FROM district_rules AS now WHERE now.district = asked.district)
                   IS NOT DISTINCT FROM rules AS current,
               coalesce((SELECT active FROM known_unit AS place
                         WHERE place.district = asked.district AND place.unit = asked.unit), false) AS known
        FROM {together.asked(_TICKET | _BESIDES)} WHERE {together.reach("asked")}
    ), opened AS (
        INSERT INTO ticket ({", ".join(_TICKET)})
        SELECT {", ".join(_TICKET)} FROM report WHERE current AND known AND {_REACH}
    ), entered AS (
        INSERT INTO ticket_entry (district, id, unit, ticket_id, reporter, sequence, move, state, actor, trace_id, at)
        SELECT district, entry, unit, id, reporter, version, '{Move.OPEN}', state, reporter, trace, opened_at
        FROM report WHERE current AND known AND {_REACH}
    ), timed AS (
        INSERT INTO timer (district, kind, aggregate, unit, due_at, try_at)
        SELECT district, kind, id, unit, at, at
        FROM report, LATERAL (
            VALUES ('{Clock.ANSWER}', answer_due_at), ('{Clock.SOLVE}', solve_due_at)
        ) AS clock (kind, at)
        WHERE current AND known AND {_REACH}
    ), told AS (
        INSERT INTO outbox (event_id, district, aggregate, shard, subject, payload, headers)
        SELECT event, tenant, aggregate, shard, topic, payload, headers FROM report WHERE current AND known AND {_REACH}
    )
    SELECT current, known FROM report ORDER BY turn"""  # noqa: S608 of constants


class ReferenceTaken(Conflict):
    """A ticket came from {source} as {reference} before."""

    title_zh = "外部编号重复"
    detail_zh = "来源 {source} 的编号 {reference} 已有工单。"


@dataclass(kw_only=True, slots=True)
class Report:
    """A ticket as it begins, before it has a row: what was reported, and what its category says of it.

    Attributes:
        parent: the ticket that it is a part of, whose form was asked already.
        hidden: whether it is private, whatever its category says, as that is.
    """

    unit: int
    title: str
    description: str
    category: str
    reporter: UUID
    source: str = Source.APP.value
    reference: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    subject_kind: str | None = None
    subject: str | None = None
    answers: dict[str, Any] | None = None
    parent: UUID | None = None
    department: str | None = None
    hidden: bool = False
    id: UUID = field(default_factory=uuid7)
    level: str = field(init=False)
    visibility: str = field(init=False)
    opened_at: datetime = field(init=False)
    answer_due_at: datetime = field(init=False)
    solve_due_at: datetime = field(init=False)
    clocks_json: str = field(init=False)
    version: int = field(default=1, init=False)
    state: ClassVar = State.OPEN.value
    confirmed: ClassVar = False
    reopened: ClassVar = 0
    followers: ClassVar = 0
    assignee: ClassVar = None
    resolved_by: ClassVar = None
    rating: ClassVar = None
    outcome: ClassVar = None
    folded_into: ClassVar = None
    level_due_at: ClassVar = None
    confirm_due_at: ClassVar = None
    resolved_at: ClassVar = None
    closed_at: ClassVar = None

    @property
    def district(self) -> int:
        """The tenant."""
        return units.district(self.unit)

    @property
    def answers_json(self) -> str | None:
        """The answers as the driver takes them."""
        return None if self.answers is None else json.dumps(self.answers)

    @property
    def handler(self) -> int:
        """The unit that answers for it (承办单位)."""
        return handler_of(self.unit, self.level)

    def begin(self, rules: Rules) -> None:
        """Give it what its category says; a department that it is for already stays.

        Raises:
            Unprocessable: 422, for a category out of use, or answers that its form does not ask for.
        """
        kind = rules.kind(self.category)
        if not kind.active:
            raise Unprocessable(errors=[_CATEGORY])
        if self.parent is None:
            kind.questions.check(self.answers)
        self.level = max(Level(kind.level), Level.of(self.unit), key=_LEVELS.index).value
        self.department = self.department or kind.department
        self.visibility = Visibility.PRIVATE.value if self.hidden else kind.visibility
        self.opened_at = datetime.now(UTC)
        clocks = {clock.value: running(kind.minutes[clock], self.opened_at) for clock in _CLOCKS}
        self.clocks_json = to_json(clocks).decode()
        self.answer_due_at, self.solve_due_at = (
            rules.calendar.due_after(self.opened_at, kind.minutes[clock]) for clock in _CLOCKS
        )

    def row(self) -> tuple[object, ...]:
        """Give the values of its row, in the order of the statement."""
        row: tuple[object, ...] = _ROW(self)
        return row


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
) -> Report:
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
    report = Report(
        unit=unit, title=title, description=description, category=category, reporter=caller.id, **particulars
    )
    await take_in(database, report)
    return report


async def take_in(database: Database, report: Report) -> None:
    """Begin a ticket's life, as its category lays down.

    Raises:
        UnknownUnit: 422, for a unit that this service has not been told of, or that is no longer in use.
        Unprocessable: 422, for a category out of use, or answers that its form does not ask for.
        ReferenceTaken: 409.
    """
    district = units.district(report.unit)
    await hold_rules(database, district)
    revision, rules = known_rules(district)
    try:
        report.begin(rules)
        kept = await _keep(database, report, revision)
    except Unprocessable:  # by what was in force when it was last read
        kept = _BY_OLD_RULES
    if not kept["current"]:
        report.begin(await rules_of(database, district))
        kept = await _keep(database, report, known_rules(district)[0])
    if not kept["known"]:
        raise UnknownUnit(unit=units.short(report.unit))
    outbox.told(database)


_BY_OLD_RULES: Final = {"current": False}
_CATEGORY: Final = {"pointer": "#/category", "detail": "this category is out of use", "detail_zh": "该类别已停用"}


async def _keep(database: Database, report: Report, revision: UUID | None) -> Row:
    department = report.department
    opened = TicketOpened(
        ticket=report.id,
        unit=report.unit,
        sequence=report.version,
        reporter=report.reporter,
        category=report.category,
        parent=report.parent,
        members=await answering_for(database, department, report.unit) if department else (),
    )
    values = (*report.row(), revision, uuid7(), trace_id(), *outbox.parcel(opened))
    try:
        kept = await together.write(database, _TAKE_IN, *values, waits=report.reference is not None)
    except IntegrityError as error:
        if "uq_ticket_reference_once" in str(error.orig):
            raise ReferenceTaken(source=report.source, reference=report.reference) from error
        raise
    return kept
