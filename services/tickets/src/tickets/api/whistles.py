"""Routes of whistles: a department is called, reports, acts and is rated (吹哨报到)."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets import sight
from tickets.models.whistles import Stage, Whistle
from tickets.operations import whistles as operations
from tickets.operations.rules import hold_rules
from tickets.operations.tickets import find_ticket
from tickets.schemas.tickets import Note, Rate
from tickets.schemas.whistles import Act, Blow, WhistleOut

router = Router(prefix="/tickets/v1", tags=["whistles"])
Answers = Annotated[Principal, require("whistles.answer")]


@router.post("/tickets/{ticket_id}/whistle", status_code=201)
async def blow_whistle(
    ticket_id: UUID,
    body: Blow,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> list[WhistleOut]:
    """Call departments to a ticket (吹哨): each must report in its time, act, and is rated."""
    await hold_rules(session, caller.district)  # before the ticket, as in `api.moves`
    ticket = await find_ticket(session, ticket_id, to_change=True)
    match.check(ticket)
    blown = await operations.blow_whistle(session, caller, ticket, body.departments, body.note)
    set_etag(response, ticket)
    return [WhistleOut.model_validate(whistle) for whistle in blown]


@router.get("/tickets/{ticket_id}/whistles", dependencies=[require("departments.read")])
async def list_whistles_of_ticket(
    ticket_id: UUID, session: Transaction, page: Paging, request: Request, response: Response
) -> Paged[WhistleOut]:
    """List which departments were called to a ticket and how they answered; a department sees its own calls only."""
    ticket = await find_ticket(session, ticket_id)
    rows, following = await page.of(
        session, operations.whistles_of(ticket), key=(Whistle.id,), request=request, response=response
    )
    return Paged(items=[WhistleOut.model_validate(row) for row in rows], next=following)


@router.get("/whistles")
async def list_whistles(
    session: Transaction,
    caller: Annotated[Principal, require("departments.read")],
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    department: Annotated[str | None, Query(max_length=50)] = None,
    state: Stage | None = None,
) -> Paged[WhistleOut]:
    """List calls, newest first; department staff see those to the departments they answer for."""
    rows, following = await page.of(
        session,
        operations.whistles_within(caller, within, department, state),
        key=(Whistle.id.desc(),),
        ways=await sight.ways_to_whistles(session),
        request=request,
        response=response,
    )
    return Paged(items=[WhistleOut.model_validate(row) for row in rows], next=following)


@router.get("/whistles/{whistle_id}", dependencies=[require("departments.read")])
async def read_whistle(whistle_id: UUID, session: Transaction, response: Response) -> WhistleOut:
    """Read one call."""
    return _answer((await operations.find_whistle(session, whistle_id)).whistle, response)


@router.post("/whistles/{whistle_id}/report")
async def report(
    whistle_id: UUID, body: Note, match: IfMatch, session: Transaction, caller: Answers, response: Response
) -> WhistleOut:
    """Say that the department is there (应哨)."""
    call = await _found(session, caller, whistle_id, match)
    await operations.report(session, caller, call, body.note)
    return _answer(call.whistle, response)


@router.post("/whistles/{whistle_id}/act")
async def act(
    whistle_id: UUID, body: Act, match: IfMatch, session: Transaction, caller: Answers, response: Response
) -> WhistleOut:
    """Say what the department has done (处置)."""
    call = await _found(session, caller, whistle_id, match)
    await operations.act(session, caller, call, body.note)
    return _answer(call.whistle, response)


@router.post("/whistles/{whistle_id}/rate")
async def rate_whistle(
    whistle_id: UUID,
    body: Rate,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> WhistleOut:
    """Say how well the department did its part (评价), 1 to 5, once."""
    call = await _found(session, caller, whistle_id, match)
    await operations.rate(session, caller, call, body.rating, body.note)
    return _answer(call.whistle, response)


async def _found(session: Transaction, caller: Principal, whistle_id: UUID, match: IfMatch) -> operations.Call:
    await hold_rules(session, caller.district)  # before the ticket, as in `api.moves`
    call = await operations.find_whistle(session, whistle_id, to_change=True)
    match.check(call.whistle)
    return call


def _answer(whistle: Whistle, response: Response) -> WhistleOut:
    set_etag(response, whistle)
    return WhistleOut.model_validate(whistle)
