"""Use cases of a case's parts: parties (当事人), conferences (调解会), agreements (协议) and follow-ups (回访).

Each takes a locked case of the caller's, and is a step of its trail.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers
from linli.crypto import Keyring
from linli.db import NOBODY
from linli.events.cases import CaseFollowUpDue
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from tickets.calendar import DAY, Calendar
from tickets.models.cases import (
    DUTIES,
    FINDINGS,
    MINUTES,
    PARTY,
    Agreement,
    Case,
    CaseStep,
    Conference,
    Effect,
    FollowUp,
    Party,
    Side,
)
from tickets.operations.cases import as_platform, enter, tell_step
from tickets.operations.rules import rules_of

FOLLOW_UP: Final = "follow_up"
"""The clock of a follow-up: it is time."""
FOLLOW_UP_OVERDUE: Final = "follow_up_overdue"
"""The clock that runs out when it was not done in time either."""
GRACE_DAYS: Final = 3
"""Working days from due to overdue."""

Part = TypeVar("Part", Party, Conference, Agreement, FollowUp)


@dataclass(frozen=True, slots=True)
class Duty:
    """Who does what by when, in words (义务)."""

    who: str
    what: str
    due_on: str | None


async def add_party(  # noqa: PLR0913 who is added to what
    session: AsyncSession,
    keyring: Keyring,
    caller: Principal,
    case: Case,
    *,
    side: Side,
    resident: UUID | None,
    name: str | None,
) -> Party:
    """Add somebody whom the dispute is between: a registered resident, or a name.

    Raises:
        CaseClosed: 409.
    """
    case.must_be_open()
    keys = await keyring.of(session, case.district)
    part_id = uuid7()
    cipher = None if name is None else keys.seal(PARTY, part_id, name)
    party = Party(id=part_id, **_place(case), side=side.value, resident=resident, name_cipher=cipher)
    return await _add(session, caller, case, party, CaseStep.PARTY)


async def add_conference(  # noqa: PLR0913 what was said where
    session: AsyncSession, keyring: Keyring, caller: Principal, case: Case, *, held_at: datetime, minutes: str
) -> Conference:
    """Keep the minutes of a meeting.

    Raises:
        CaseClosed: 409.
    """
    case.must_be_open()
    keys = await keyring.of(session, case.district)
    part_id = uuid7()
    sealed = keys.seal(MINUTES, part_id, minutes)
    conference = Conference(id=part_id, **_place(case), held_at=held_at, minutes_cipher=sealed)
    return await _add(session, caller, case, conference, CaseStep.CONFERENCE)


async def add_agreement(  # noqa: PLR0913 what was agreed when
    session: AsyncSession,
    keyring: Keyring,
    caller: Principal,
    case: Case,
    *,
    signed_on: date,
    duties: Sequence[Duty],
) -> Agreement:
    """Keep what the parties agreed.

    Raises:
        CaseClosed: 409.
    """
    case.must_be_open()
    keys = await keyring.of(session, case.district)
    part_id = uuid7()
    said = json.dumps([asdict(duty) for duty in duties], ensure_ascii=False)
    agreement = Agreement(
        id=part_id, **_place(case), signed_on=signed_on, duties_cipher=keys.seal(DUTIES, part_id, said)
    )
    return await _add(session, caller, case, agreement, CaseStep.AGREEMENT)


async def plan_follow_up(session: AsyncSession, caller: Principal, case: Case, due_at: datetime) -> FollowUp:
    """Plan to look whether what was agreed is kept; also when the case is closed. Both clocks begin to run."""
    follow_up = FollowUp(id=uuid7(), **_place(case), due_at=due_at)
    await _add(session, caller, case, follow_up, CaseStep.FOLLOW_UP)
    calendar = (await rules_of(session, case.district)).calendar
    due = {FOLLOW_UP: due_at, FOLLOW_UP_OVERDUE: calendar.due_after(due_at, GRACE_DAYS * DAY)}
    await timers.set(session, aggregate=follow_up.id, unit=case.unit, due=due)
    return follow_up


async def finish_follow_up(  # noqa: PLR0913 who found what
    session: AsyncSession,
    keyring: Keyring,
    caller: Principal,
    case: Case,
    follow_up_id: UUID,
    *,
    effect: Effect | None,
    findings: str,
) -> FollowUp:
    """Say what a follow-up found; whether the agreement is kept is then the case's effect (成效).

    Raises:
        NotFound: 404.
        AlreadyFollowedUp: 409.
    """
    follow_up = await session.scalar(part_of(case, FollowUp).where(FollowUp.id == follow_up_id).with_for_update())
    if follow_up is None:
        raise NotFound(kind="follow-up", id=str(follow_up_id))
    keys = await keyring.of(session, case.district)
    follow_up.finish(caller.id, effect, keys.seal(FINDINGS, follow_up.id, findings))
    case.effect = effect.value if effect else case.effect
    case.touch()
    await timers.cancel(session, aggregate=follow_up.id, unit=case.unit, kinds=[FOLLOW_UP, FOLLOW_UP_OVERDUE])
    await enter(session, case, CaseStep.FOLLOWED_UP, caller.id, about=follow_up.id)
    await tell_step(session, case, CaseStep.FOLLOWED_UP, caller, follow_up.id)
    return follow_up


async def follow_up_due(session: AsyncSession, follow_up_id: UUID, *, overdue: bool) -> bool:
    """Tell the team that a follow-up is due, or overdue; tells whether it is still to be done and late."""
    case_id = await session.scalar(select(FollowUp.case_id).where(FollowUp.id == follow_up_id))
    case = (await session.scalars(select(Case).where(Case.id == case_id).with_for_update())).one()
    follow_up = (await session.scalars(part_of(case, FollowUp).where(FollowUp.id == follow_up_id))).one()
    if follow_up.done_at is not None:
        return False
    case.touch()
    step = CaseStep.FOLLOW_UP_OVERDUE if overdue else CaseStep.FOLLOW_UP_DUE
    await enter(session, case, step, NOBODY, about=follow_up.id)
    await publish(
        session,
        CaseFollowUpDue(
            case=case.id,
            unit=case.unit,
            sequence=case.version,
            follow_up=follow_up.id,
            members=tuple(case.people),
            overdue=overdue,
        ),
    )
    return overdue


async def reschedule(session: AsyncSession, caller: Principal, district: int, calendar: Calendar) -> None:
    """Move when follow-ups are overdue, as far as they are not, to where a district's corrected calendar puts it."""
    running = select(FollowUp.id, FollowUp.unit, FollowUp.due_at).where(
        FollowUp.district == district,
        FollowUp.done_at.is_(None),
        tuple_(FollowUp.district, FollowUp.id).not_in(timers.overdue(FOLLOW_UP_OVERDUE)),
    )
    async with as_platform(session, caller):  # whoever keeps the calendar sees no cases
        for row in (await session.execute(running.order_by(FollowUp.id))).all():
            overdue_at = calendar.due_after(row.due_at, GRACE_DAYS * DAY)
            await timers.set(session, aggregate=row.id, unit=row.unit, due={FOLLOW_UP_OVERDUE: overdue_at})


def part_of(case: Case, kind: type[Part]) -> Select[tuple[Part]]:
    """Select a case's parts of a kind."""
    return select(kind).where(kind.district == case.district, kind.case_id == case.id)


async def duties_of(session: AsyncSession, keyring: Keyring, agreement: Agreement) -> list[Duty]:
    """Read who is to do what."""
    said = await keyring.open(session, agreement.district, DUTIES, agreement.id, agreement.duties_cipher)
    return [Duty(**duty) for duty in json.loads(said)]


def _place(case: Case) -> dict[str, object]:
    return {"district": case.district, "unit": case.unit, "case_id": case.id, "members": case.members}


async def _add(session: AsyncSession, caller: Principal, case: Case, part: Part, step: CaseStep) -> Part:
    case.touch()
    session.add(part)
    await enter(session, case, step, caller.id, about=part.id)
    await tell_step(session, case, step, caller, part.id)
    return part
