"""Use cases of errands (帮办代办): papers asked for, handed over, filed with an office, and the result."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers, units
from linli.db import NOBODY, require_unit
from linli.events.cases import (
    ErrandDone,
    ErrandFiled,
    ErrandOpened,
    ErrandOverdue,
    ErrandPaperHanded,
    ErrandPapersAsked,
    ErrandTakenOver,
)
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from linli.telemetry import trace_id
from tickets.calendar import DAY
from tickets.models.errands import (
    Errand,
    ErrandEntry,
    ErrandState,
    ErrandStep,
    HandedBy,
    Paper,
    PaperAsked,
    PapersMissing,
    Result,
)
from tickets.models.moves import Level
from tickets.operations.offices import managers_from
from tickets.operations.rules import rules_of

NEXT_STEP: Final = "errand"
"""The clock of an errand's next step."""
STEP_DAYS: Final = 5
"""Working days until the next step is due."""


async def open_errand(  # noqa: PLR0913 an errand is these facts
    session: AsyncSession, caller: Principal, *, unit: int, served: UUID, title: str, papers: Sequence[str]
) -> Errand:
    """Take on an errand for somebody (受理), who learns which papers are needed.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    now = datetime.now(UTC)
    errand = Errand(
        id=uuid7(),
        district=units.district(unit),
        unit=unit,
        served=served,
        worker=caller.id,
        title=title,
        state=ErrandState.COLLECTING.value,
        stepped_at=now,
        due_at=await _next_due(session, units.district(unit)),
        opened_at=now,
    )
    session.add(errand)
    await _enter(session, errand, ErrandStep.OPEN, caller.id, None)
    session.add_all([_paper(errand, name) for name in dict.fromkeys(papers)])
    await _tell(session, errand, ErrandOpened)
    return errand


async def find_errand(session: AsyncSession, errand_id: UUID, *, to_change: bool = False) -> Errand:
    """Read an errand; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Errand).where(Errand.id == errand_id)
    errand = await session.scalar(statement.with_for_update() if to_change else statement)
    if errand is None:
        raise NotFound(kind="errand", id=str(errand_id))
    return errand


def errands_within(
    district: int, unit: int | None, state: ErrandState | None, worker: UUID | None, *, overdue: bool
) -> Select[tuple[Errand]]:
    """Select a district's errands by where they are, how they stand, who goes them, and whether a step is late."""
    statement = select(Errand).where(Errand.district == district)
    if unit is not None:
        statement = statement.where(Errand.unit.between(*units.span(unit)))
    if state is not None:
        statement = statement.where(Errand.state == state.value)
    if worker is not None:
        statement = statement.where(Errand.worker == worker)
    if overdue:
        statement = statement.where(tuple_(Errand.district, Errand.id).in_(timers.overdue(NEXT_STEP)))
    return statement


def papers_of(errand: Errand) -> Select[tuple[Paper]]:
    """Select the papers of an errand."""
    return select(Paper).where(Paper.district == errand.district, Paper.errand_id == errand.id)


def entries_of(errand: Errand) -> Select[tuple[ErrandEntry]]:
    """Select an errand's trail, but for steps that only a newer version knows: one may write beside this one."""
    known = ErrandEntry.step.in_([step.value for step in ErrandStep])
    return select(ErrandEntry).where(ErrandEntry.district == errand.district, ErrandEntry.errand_id == errand.id, known)


async def ask_papers(
    session: AsyncSession, caller: Principal, errand: Errand, papers: Sequence[str], note: str | None
) -> None:
    """Ask for more papers for a locked errand (补正材料), also after it was filed.

    Raises:
        IllegalErrandStep: 409.
        PaperAsked: 409.
    """
    errand.take(ErrandStep.ASK, await _next_due(session, errand.district))
    asked = set(await session.scalars(papers_of(errand).with_only_columns(Paper.name)))
    for name in papers:
        if name in asked:
            raise PaperAsked(paper=name)
        asked.add(name)
    session.add_all([_paper(errand, name) for name in papers])
    await _enter(session, errand, ErrandStep.ASK, caller.id, note)
    await _tell(session, errand, ErrandPapersAsked)


async def hand_paper(session: AsyncSession, caller: Principal, errand: Errand, paper_id: UUID, by: HandedBy) -> Paper:
    """Take a paper for a locked errand (收件).

    Raises:
        NotFound: 404.
        IllegalErrandStep: 409.
        PaperHanded: 409.
    """
    paper = await session.scalar(papers_of(errand).where(Paper.id == paper_id))
    if paper is None:
        raise NotFound(kind="paper", id=str(paper_id))
    errand.take(ErrandStep.HAND, await _next_due(session, errand.district))
    paper.hand_over(by, caller.id)
    await _enter(session, errand, ErrandStep.HAND, caller.id, None)
    await publish(session, ErrandPaperHanded(**_who(errand), paper=paper.id))
    return paper


async def file_errand(  # noqa: PLR0913 what is filed where
    session: AsyncSession, caller: Principal, errand: Errand, *, office: str, reference: str | None, note: str | None
) -> None:
    """Hand in the papers of a locked errand (递交), when all of them are there.

    Raises:
        IllegalErrandStep: 409.
        PapersMissing: 409.
    """
    errand.file(office, reference, await _next_due(session, errand.district))
    missing = papers_of(errand).where(Paper.handed_at.is_(None)).with_only_columns(Paper.name)
    if names := list(await session.scalars(missing.order_by(Paper.id))):
        raise PapersMissing(missing="、".join(names))
    await _enter(session, errand, ErrandStep.FILE, caller.id, note)
    await _tell(session, errand, ErrandFiled)


async def take_over(session: AsyncSession, caller: Principal, errand: Errand, note: str | None) -> None:
    """Go a locked errand from here on (接手).

    Raises:
        IllegalErrandStep: 409.
    """
    errand.take(ErrandStep.TAKE_OVER, await _next_due(session, errand.district))
    errand.worker = caller.id
    await _enter(session, errand, ErrandStep.TAKE_OVER, caller.id, note)
    await publish(session, ErrandTakenOver(**_who(errand)))


async def finish_errand(
    session: AsyncSession, caller: Principal, errand: Errand, *, result: Result, note: str | None
) -> None:
    """Say what came of a locked errand (办结).

    Raises:
        IllegalErrandStep: 409.
        NotFiled: 409.
    """
    errand.finish(result)
    await _enter(session, errand, ErrandStep.FINISH, caller.id, note)
    event = ErrandDone(**_who(errand), result=result.value)
    await publish(session, event)


async def step_overdue(session: AsyncSession, errand_id: UUID, due_at: datetime) -> bool:
    """Note that the next step was not taken in time, and tell; tells whether it is still to be taken."""
    errand = await find_errand(session, errand_id, to_change=True)
    if errand.due_at is None or errand.due_at > due_at:
        return False
    errand.touch()
    await _write(session, errand, ErrandStep.OVERDUE, NOBODY, None)
    managers = await managers_from(session, errand.unit, Level.COMMUNITY)
    await publish(session, ErrandOverdue(**_who(errand), supervisors=managers, due_at=due_at))
    return True


def _paper(errand: Errand, name: str) -> Paper:
    return Paper(
        district=errand.district,
        unit=errand.unit,
        errand_id=errand.id,
        served=errand.served,
        name=name,
        asked_at=datetime.now(UTC),
    )


def _who(errand: Errand) -> dict[str, object]:
    return {
        "errand": errand.id,
        "unit": errand.unit,
        "sequence": errand.version,
        "served": errand.served,
        "worker": errand.worker,
    }


async def _next_due(session: AsyncSession, district: int) -> datetime:
    return (await rules_of(session, district)).calendar.due_after(datetime.now(UTC), STEP_DAYS * DAY)


async def _tell(
    session: AsyncSession, errand: Errand, event: type[ErrandOpened] | type[ErrandPapersAsked] | type[ErrandFiled]
) -> None:
    await publish(session, event(**_who(errand)))


async def _enter(session: AsyncSession, errand: Errand, step: ErrandStep, actor: UUID, note: str | None) -> None:
    """Write a person's step into the trail, and let the clock of the next one run."""
    await _write(session, errand, step, actor, note)
    if errand.due_at is None:
        await timers.cancel(session, aggregate=errand.id, unit=errand.unit, kinds=[NEXT_STEP])
    else:
        await timers.set(session, aggregate=errand.id, unit=errand.unit, due={NEXT_STEP: errand.due_at})


async def _write(session: AsyncSession, errand: Errand, step: ErrandStep, actor: UUID, note: str | None) -> None:
    await session.flush()
    session.add(
        ErrandEntry(
            district=errand.district,
            unit=errand.unit,
            errand_id=errand.id,
            served=errand.served,
            sequence=errand.version,
            step=step.value,
            actor=actor,
            note=note,
            trace_id=trace_id(),
            at=datetime.now(UTC),
        )
    )
