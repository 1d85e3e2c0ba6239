"""Use cases of cases (矛盾调解/个案): opened, graded, read by the team, closed; every step and every reading kept.

Who may see a case is the database's to say: whoever is on its team, and nobody else.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import audit, units
from linli.crypto import Keyring
from linli.db import NOBODY, require_unit
from linli.events.cases import CaseClosed, CaseGraded, CaseOpened, CaseStepped
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import Conflict, NotFound
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.models.cases import NOTE, SUMMARY, Case, CaseEntry, CaseOutcome, CaseState, CaseStep, CaseTeam
from tickets.models.categories import Visibility
from tickets.models.moves import Move
from tickets.models.tickets import Ticket
from tickets.operations.case_teams import pick_team
from tickets.operations.folding import keep_private
from tickets.operations.tickets import enter as enter_ticket
from tickets.operations.tickets import find_ticket
from tickets.sight import widened

_AS: Final = text("SELECT set_config('app.person', :person, true)")


class AlreadyCase(Conflict):
    """This ticket has become a case before."""

    title_zh = "该工单已转为个案"
    detail_zh = "该工单此前已转为个案。"


@asynccontextmanager
async def as_platform(session: AsyncSession, caller: Principal) -> AsyncIterator[None]:
    """Have the platform do what puts a case before a team: who opens or hands on a case need not be on that team."""
    await session.flush()
    await session.execute(_AS, {"person": str(NOBODY)})
    yield
    await session.flush()
    await session.execute(_AS, {"person": str(caller.id)})


async def open_case(  # noqa: PLR0913 a case is these facts
    session: AsyncSession,
    keyring: Keyring,
    caller: Principal,
    *,
    unit: int,
    grade: int,
    summary: str,
    ticket: UUID | None = None,
) -> Case:
    """Take up a dispute (立案): its grade picks the team, which alone sees it from then on.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
        NoTeam: 409.
        AlreadyCase: 409.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    team = await pick_team(session, unit, grade)
    keys = await keyring.of(session, units.district(unit))
    case_id = uuid7()
    case = Case(
        id=case_id,
        district=units.district(unit),
        unit=unit,
        team_id=team.id,
        members=team.members,
        ticket_id=ticket,
        grade=grade,
        summary_cipher=keys.seal(SUMMARY, case_id, summary),
        state=CaseState.OPEN.value,
        opened_by=caller.id,
        opened_at=datetime.now(UTC),
    )
    try:
        async with as_platform(session, caller):
            session.add(case)
            await enter(session, case, CaseStep.OPEN, caller.id, about=ticket, grade=grade)
    except IntegrityError as error:
        if "uq_case_file_ticket" in str(error.orig):
            raise AlreadyCase from None
        raise
    await publish(session, CaseOpened(case=case.id, unit=unit, sequence=case.version, members=tuple(case.people)))
    return case


async def convert_ticket(  # noqa: PLR0913 who makes what of which
    session: AsyncSession, keyring: Keyring, caller: Principal, ticket: Ticket, *, grade: int, summary: str | None
) -> Case:
    """Make a case of a locked ticket (转为个案): it keeps its trail, is private from then on, and tells no more of it.

    Raises:
        NotYours: 403, for whoever does not manage the unit that answers for the ticket.
        IllegalMove: 409.
        NoTeam: 409.
        AlreadyCase: 409.
    """
    ticket.move(Move.CASE, caller)
    ticket.visibility = Visibility.PRIVATE.value
    await enter_ticket(session, ticket, Move.CASE, caller.id, None)
    await keep_private(session, ticket)
    said = summary or f"{ticket.title}\n\n{ticket.description}"
    return await open_case(session, keyring, caller, unit=ticket.unit, grade=grade, summary=said, ticket=ticket.id)


async def find_case(  # noqa: PLR0913 who looks at what and how
    session: AsyncSession,
    caller: Principal,
    case_id: UUID,
    *,
    action: str = "read",
    fields: Sequence[str] = ("summary",),
    to_change: bool = False,
) -> Case:
    """Find one of the caller's cases and note that he looked (查阅留痕); `to_change` locks it.

    Raises:
        NotFound: 404, for whoever is not on its team.
    """
    statement = select(Case).where(Case.district == caller.district, Case.id == case_id)
    case = await session.scalar(statement.with_for_update() if to_change else statement)
    if case is None:
        raise NotFound(kind="case", id=str(case_id))
    await audit.record(session, caller, f"cases.{action}", unit=case.unit, subjects=[case.id], fields=fields)
    return case


@asynccontextmanager
async def ticket_of(session: AsyncSession, case: Case) -> AsyncIterator[Ticket]:
    """See the ticket that one of the caller's cases began as (来源工单), and what belongs to it, wherever that lies.

    Raises:
        NotFound: 404, for a case that did not begin as one.
    """
    if case.ticket_id is None:
        raise NotFound(kind="ticket of case", id=str(case.id))
    async with widened(session):
        yield await find_ticket(session, case.ticket_id)


def cases_of(caller: Principal, state: CaseState | None) -> Select[tuple[Case]]:
    """Select the cases of the caller's teams."""
    statement = select(Case).where(Case.district == caller.district)
    return statement if state is None else statement.where(Case.state == state.value)


async def note_list(session: AsyncSession, caller: Principal, cases: Sequence[Case]) -> None:
    """Note who was shown which cases, without a word of them."""
    if cases:
        subjects = [case.id for case in cases]
        await audit.record(session, caller, "cases.list", unit=caller.unit, subjects=subjects, fields=["state"])


async def summary_of(session: AsyncSession, keyring: Keyring, case: Case) -> str:
    """Read what a case is about."""
    return await keyring.open(session, case.district, SUMMARY, case.id, case.summary_cipher)


async def team_for(session: AsyncSession, caller: Principal, case_id: UUID, grade: int) -> CaseTeam:
    """Pick the team that one of the caller's cases would go to, before that is locked.

    Raises:
        NotFound: 404, for whoever is not on its team.
        NoTeam: 409.
    """
    unit = await session.scalar(select(Case.unit).where(Case.district == caller.district, Case.id == case_id))
    if unit is None:
        raise NotFound(kind="case", id=str(case_id))
    return await pick_team(session, unit, grade)


async def grade_case(  # noqa: PLR0913 who grades what and why
    session: AsyncSession, keyring: Keyring, caller: Principal, case: Case, team: CaseTeam, *, note: str | None
) -> None:
    """Find a locked case harder or easier than thought (调整等级): it is another team's from now on.

    Raises:
        CaseClosed: 409.
        SameGrade: 409.
    """
    async with as_platform(session, caller):
        case.regrade(team)
        entry = await enter(session, case, CaseStep.GRADE, caller.id, grade=case.grade)
        await _say(session, keyring, entry, note)
    await publish(session, CaseGraded(case=case.id, unit=case.unit, sequence=case.version, members=tuple(case.people)))


async def close_case(  # noqa: PLR0913 who ends what and how
    session: AsyncSession, keyring: Keyring, caller: Principal, case: Case, *, outcome: CaseOutcome, note: str | None
) -> None:
    """End a locked case (结案).

    Raises:
        CaseClosed: 409.
    """
    case.close(outcome)
    await _say(session, keyring, await enter(session, case, CaseStep.CLOSE, caller.id), note)
    await publish(session, CaseClosed(case=case.id, unit=case.unit, sequence=case.version, members=tuple(case.people)))


def trail_of(case: Case) -> Select[tuple[CaseEntry]]:
    """Select a case's trail, but for steps that only a newer version knows: one may write beside this one."""
    known = CaseEntry.step.in_([step.value for step in CaseStep])
    return select(CaseEntry).where(CaseEntry.district == case.district, CaseEntry.case_id == case.id, known)


async def note_case(session: AsyncSession, keyring: Keyring, caller: Principal, case: Case, note: str) -> None:
    """Add a word to a locked case (记录)."""
    case.touch()
    entry = await enter(session, case, CaseStep.NOTE, caller.id)
    await _say(session, keyring, entry, note)
    await tell_step(session, case, CaseStep.NOTE, caller)


async def tell_step(
    session: AsyncSession, case: Case, step: CaseStep, caller: Principal, about: UUID | None = None
) -> None:
    """Tell the team of a step that an event has no name of its own for, but not what was said."""
    await publish(
        session,
        CaseStepped(
            case=case.id,
            unit=case.unit,
            sequence=case.version,
            members=tuple(case.people),
            step=step.value,
            about=about,
            taken_by=caller.id,
        ),
    )


async def note_of(session: AsyncSession, keyring: Keyring, entry: CaseEntry) -> str | None:
    """Read what was said with a step."""
    if entry.note_cipher is None:
        return None
    return await keyring.open(session, entry.district, NOTE, entry.id, entry.note_cipher)


async def enter(  # noqa: PLR0913 a step is these facts
    session: AsyncSession,
    case: Case,
    step: CaseStep,
    actor: UUID,
    *,
    about: UUID | None = None,
    grade: int | None = None,
) -> CaseEntry:
    """Write a step into the trail of a locked case (全程留痕); the flush numbers it by the case's new version."""
    await session.flush()
    entry = CaseEntry(
        id=uuid7(),
        district=case.district,
        unit=case.unit,
        case_id=case.id,
        members=case.members,
        sequence=case.version,
        step=step.value,
        actor=actor,
        about=about,
        grade=grade,
        trace_id=trace_id(),
        at=datetime.now(UTC),
    )
    session.add(entry)
    return entry


async def _say(session: AsyncSession, keyring: Keyring, entry: CaseEntry, note: str | None) -> None:
    """Seal what was said with a step that is not written yet; the trail is only ever added to."""
    if note is not None:
        with session.no_autoflush:
            keys = await keyring.of(session, entry.district)
        entry.note_cipher = keys.seal(NOTE, entry.id, note)
