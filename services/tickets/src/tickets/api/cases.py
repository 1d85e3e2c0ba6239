"""Routes of cases, for the members of their teams; everybody else is answered 404."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.crypto import Keyring
from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.personal import Keys
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import OwnTransaction, Router, Transaction
from tickets.models.cases import Case, CaseEntry, CaseState
from tickets.operations import cases as operations
from tickets.operations.tickets import find_ticket
from tickets.schemas.cases import CaseEntryOut, CaseIn, CaseItem, CaseOut, CloseIn, GradeIn, NoteIn, TicketCase

router = Router(prefix="/tickets/v1", tags=["cases"])

Opener = Annotated[Principal, require("cases.write")]
Member = Annotated[Principal, require("cases.work")]


@router.post("/cases", status_code=201)
async def open_case(body: CaseIn, session: Transaction, keyring: Keys, caller: Opener, response: Response) -> CaseOut:
    """Take up a dispute (立案). From then on its team alone sees it, whoever opened it."""
    return await _opened(session, keyring, await operations.open_case(session, keyring, caller, **dict(body)), response)


@router.post("/tickets/{ticket_id}/case", status_code=201)
async def convert_ticket(
    ticket_id: UUID,
    body: TicketCase,
    match: IfMatch,
    session: Transaction,
    keyring: Keys,
    caller: Opener,
    response: Response,
) -> CaseOut:
    """Make a case of a ticket (转为个案), which keeps its trail, is private from then on, and tells no more of it."""
    ticket = await find_ticket(session, ticket_id, to_change=True)
    match.check(ticket)
    case = await operations.convert_ticket(session, keyring, caller, ticket, **dict(body))
    return await _opened(session, keyring, case, response)


@router.get("/cases")
async def list_cases(
    session: OwnTransaction,
    caller: Member,
    page: Paging,
    request: Request,
    response: Response,
    state: CaseState | None = None,
) -> Paged[CaseItem]:
    """List the cases of the caller's teams, newest first."""
    rows, following = await page.of(
        session, operations.cases_of(caller, state), key=(Case.id.desc(),), request=request, response=response
    )
    await operations.note_list(session, caller, rows)
    return Paged(items=[CaseItem.model_validate(row) for row in rows], next=following)


@router.get("/cases/{case_id}")
async def read_case(
    case_id: UUID, session: OwnTransaction, keyring: Keys, caller: Member, response: Response
) -> CaseOut:
    """Read a case; that is noted."""
    return await _answer(session, keyring, await operations.find_case(session, caller, case_id), response)


@router.get("/cases/{case_id}/trail")
async def list_entries(
    case_id: UUID,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[CaseEntryOut]:
    """List every step of a case (全程留痕), oldest first."""
    case = await operations.find_case(session, caller, case_id, fields=["trail"])
    rows, following = await page.of(
        session, operations.trail_of(case), key=(CaseEntry.sequence,), request=request, response=response
    )
    items = [
        CaseEntryOut(
            sequence=row.sequence,
            step=row.step,
            actor=row.actor,
            about=row.about,
            grade=row.grade,
            note=await operations.note_of(session, keyring, row),
            trace_id=row.trace_id,
            at=row.at,
        )
        for row in rows
    ]
    return Paged(items=items, next=following)


@router.post("/cases/{case_id}/grade")
async def grade_case(
    case_id: UUID,
    body: GradeIn,
    match: IfMatch,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    response: Response,
) -> CaseOut:
    """Find a case harder or easier than thought (调整等级): it goes to that grade's team."""
    team = await operations.team_for(session, caller, case_id, body.grade)
    case = await operations.find_case(session, caller, case_id, action="grade", to_change=True)
    match.check(case)
    await operations.grade_case(session, keyring, caller, case, team, note=body.note)
    return await _answer(session, keyring, case, response)


@router.post("/cases/{case_id}/notes")
async def note_case(
    case_id: UUID, body: NoteIn, session: OwnTransaction, keyring: Keys, caller: Member, response: Response
) -> CaseOut:
    """Add a word to a case (记录)."""
    case = await operations.find_case(session, caller, case_id, action="note", to_change=True)
    await operations.note_case(session, keyring, caller, case, body.note)
    return await _answer(session, keyring, case, response)


@router.post("/cases/{case_id}/close")
async def close_case(
    case_id: UUID,
    body: CloseIn,
    match: IfMatch,
    session: OwnTransaction,
    keyring: Keys,
    caller: Member,
    response: Response,
) -> CaseOut:
    """End a case (结案); it may still be followed up."""
    case = await operations.find_case(session, caller, case_id, action="close", to_change=True)
    match.check(case)
    await operations.close_case(session, keyring, caller, case, **dict(body))
    return await _answer(session, keyring, case, response)


async def _opened(session: Transaction, keyring: Keyring, case: Case, response: Response) -> CaseOut:
    response.headers["Location"] = f"/tickets/v1/cases/{case.id}"
    return await _answer(session, keyring, case, response)


async def _answer(session: Transaction, keyring: Keyring, case: Case, response: Response) -> CaseOut:
    set_etag(response, case)
    return CaseOut(
        id=case.id,
        unit=case.unit,
        grade=case.grade,
        team=case.team_id,
        members=case.people,
        ticket=case.ticket_id,
        summary=await operations.summary_of(session, keyring, case),
        state=case.state,
        outcome=case.outcome,
        effect=case.effect,
        opened_by=case.opened_by,
        opened_at=case.opened_at,
        closed_at=case.closed_at,
        version=case.version,
    )
