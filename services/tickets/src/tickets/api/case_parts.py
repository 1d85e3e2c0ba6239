"""Routes of a case's parts: parties, conferences, agreements, follow-ups."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.crypto import Field, Keyring
from linli.etags import IfMatch
from linli.paging import Paging
from linli.personal import Keys
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import OwnTransaction, Router
from tickets.models.cases import FINDINGS, MINUTES, PARTY, Agreement, Conference, FollowUp, Party
from tickets.operations import case_parts as operations
from tickets.operations.cases import find_case
from tickets.schemas.cases import (
    AgreementIn,
    AgreementOut,
    ConferenceIn,
    ConferenceOut,
    DutyOut,
    FindingsIn,
    FollowUpIn,
    FollowUpOut,
    PartyIn,
    PartyOut,
)

router = Router(prefix="/tickets/v1/cases/{case_id}", tags=["cases"])

Member = Annotated[Principal, require("cases.work")]


@router.post("/parties", status_code=201)
async def add_party(case_id: UUID, body: PartyIn, session: OwnTransaction, keyring: Keys, caller: Member) -> PartyOut:
    """Add somebody whom the dispute is between (当事人)."""
    case = await find_case(session, caller, case_id, action="party", fields=["parties"], to_change=True)
    return await _party(session, keyring, await operations.add_party(session, keyring, caller, case, **dict(body)))


@router.get("/parties")
async def list_parties(
    case_id: UUID,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[PartyOut]:
    """List whom the dispute is between."""
    case = await find_case(session, caller, case_id, fields=["parties"])
    rows, following = await page.of(
        session, operations.part_of(case, Party), key=(Party.id,), request=request, response=response
    )
    return Paged(items=[await _party(session, keyring, row) for row in rows], next=following)


@router.post("/conferences", status_code=201)
async def add_conference(
    case_id: UUID, body: ConferenceIn, session: OwnTransaction, keyring: Keys, caller: Member
) -> ConferenceOut:
    """Keep the minutes of a meeting (调解会)."""
    case = await find_case(session, caller, case_id, action="conference", fields=["conferences"], to_change=True)
    return await _conference(
        session, keyring, await operations.add_conference(session, keyring, caller, case, **dict(body))
    )


@router.get("/conferences")
async def list_conferences(
    case_id: UUID,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[ConferenceOut]:
    """List the meetings about a case, with their minutes."""
    case = await find_case(session, caller, case_id, fields=["conferences"])
    rows, following = await page.of(
        session,
        operations.part_of(case, Conference),
        key=(Conference.held_at, Conference.id),
        request=request,
        response=response,
    )
    return Paged(items=[await _conference(session, keyring, row) for row in rows], next=following)


@router.post("/agreements", status_code=201)
async def add_agreement(
    case_id: UUID, body: AgreementIn, session: OwnTransaction, keyring: Keys, caller: Member
) -> AgreementOut:
    """Keep what the parties agreed (调解协议)."""
    case = await find_case(session, caller, case_id, action="agreement", fields=["agreements"], to_change=True)
    duties = [
        operations.Duty(duty.who, duty.what, duty.due_on.isoformat() if duty.due_on else None) for duty in body.duties
    ]
    agreement = await operations.add_agreement(session, keyring, caller, case, signed_on=body.signed_on, duties=duties)
    return await _agreement(session, keyring, agreement)


@router.get("/agreements")
async def list_agreements(
    case_id: UUID,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[AgreementOut]:
    """List what the parties agreed."""
    case = await find_case(session, caller, case_id, fields=["agreements"])
    rows, following = await page.of(
        session,
        operations.part_of(case, Agreement),
        key=(Agreement.id,),
        request=request,
        response=response,
    )
    return Paged(items=[await _agreement(session, keyring, row) for row in rows], next=following)


@router.post("/follow-ups", status_code=201)
async def plan_follow_up(
    case_id: UUID, body: FollowUpIn, session: OwnTransaction, keyring: Keys, caller: Member
) -> FollowUpOut:
    """Plan to look whether what was agreed is kept (回访计划); the team is told when that is due, and overdue."""
    case = await find_case(session, caller, case_id, action="follow_up", fields=["follow_ups"], to_change=True)
    return await _follow_up(session, keyring, await operations.plan_follow_up(session, caller, case, body.due_at))


@router.get("/follow-ups")
async def list_follow_ups(
    case_id: UUID,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[FollowUpOut]:
    """List what was planned and found after a case."""
    case = await find_case(session, caller, case_id, fields=["follow_ups"])
    rows, following = await page.of(
        session,
        operations.part_of(case, FollowUp),
        key=(FollowUp.due_at, FollowUp.id),
        request=request,
        response=response,
    )
    return Paged(items=[await _follow_up(session, keyring, row) for row in rows], next=following)


@router.post("/follow-ups/{follow_up_id}/finish")
async def finish_follow_up(
    case_id: UUID,
    follow_up_id: UUID,
    body: FindingsIn,
    match: IfMatch,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
) -> FollowUpOut:
    """Say what a follow-up found (回访结果), with the ETag of the case."""
    case = await find_case(session, caller, case_id, action="followed_up", fields=["follow_ups"], to_change=True)
    match.check(case)
    done = await operations.finish_follow_up(session, keyring, caller, case, follow_up_id, **dict(body))
    return await _follow_up(session, keyring, done)


async def _opened(
    session: OwnTransaction, keyring: Keyring, column: Field, row: operations.Part, sealed: bytes | None
) -> str | None:
    return None if sealed is None else await keyring.open(session, row.district, column, row.id, sealed)


async def _party(session: OwnTransaction, keyring: Keyring, row: Party) -> PartyOut:
    name = await _opened(session, keyring, PARTY, row, row.name_cipher)
    return PartyOut(id=row.id, side=row.side, resident=row.resident, name=name)


async def _conference(session: OwnTransaction, keyring: Keyring, row: Conference) -> ConferenceOut:
    minutes = await _opened(session, keyring, MINUTES, row, row.minutes_cipher)
    return ConferenceOut(id=row.id, held_at=row.held_at, minutes=minutes)


async def _agreement(session: OwnTransaction, keyring: Keyring, row: Agreement) -> AgreementOut:
    duties = [DutyOut.model_validate(duty) for duty in await operations.duties_of(session, keyring, row)]
    return AgreementOut(id=row.id, signed_on=row.signed_on, duties=duties)


async def _follow_up(session: OwnTransaction, keyring: Keyring, row: FollowUp) -> FollowUpOut:
    return FollowUpOut(
        id=row.id,
        due_at=row.due_at,
        done_at=row.done_at,
        done_by=row.done_by,
        effect=row.effect,
        findings=await _opened(session, keyring, FINDINGS, row, row.findings_cipher),
        version=row.version,
    )
