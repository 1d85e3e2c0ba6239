"""Routes of the tickets service."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets.models.moves import State
from tickets.models.tickets import Entry, Ticket
from tickets.operations import tickets as operations
from tickets.schemas.tickets import Assign, EntryOut, Note, Rate, TicketOpen, TicketOut

router = Router(prefix="/tickets/v1", tags=["tickets"])


@router.post("/tickets", status_code=201)
async def open_ticket(
    body: TicketOpen,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.open")],
    response: Response,
) -> TicketOut:
    """Report something (上报): opens a ticket for a place."""
    ticket = await operations.open_ticket(session, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/tickets/{ticket.id}"
    return _answer(ticket, response)


@router.get("/tickets", dependencies=[require("tickets.read")])
async def list_tickets(
    session: Transaction,
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    state: State | None = None,
    assignee: UUID | None = None,
    reporter: UUID | None = None,
    *,
    overdue: Annotated[bool, Query(description="Only those with a clock that has run out (超时)")] = False,
) -> Paged[TicketOut]:
    """List the tickets the caller may see, newest first."""
    rows, following = await page.of(
        session,
        operations.tickets_within(within, state, assignee, reporter, overdue=overdue),
        key=(Ticket.id.desc(),),
        request=request,
        response=response,
    )
    return Paged(items=[TicketOut.model_validate(row) for row in rows], next=following)


@router.get("/tickets/{ticket_id}", dependencies=[require("tickets.read")])
async def read_ticket(ticket_id: UUID, session: Transaction, response: Response) -> TicketOut:
    """Read one ticket."""
    return _answer(await operations.find_ticket(session, ticket_id), response)


@router.get("/tickets/{ticket_id}/timeline", dependencies=[require("tickets.read")])
async def list_entries(
    ticket_id: UUID,
    session: Transaction,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[EntryOut]:
    """List every step of a ticket (全程留痕), oldest first."""
    ticket = await operations.find_ticket(session, ticket_id)
    rows, following = await page.of(
        session, operations.entries_of(ticket), key=(Entry.sequence,), request=request, response=response
    )
    return Paged(items=[EntryOut.model_validate(row) for row in rows], next=following)


@router.post("/tickets/{ticket_id}/assign")
async def assign_ticket(
    ticket_id: UUID,
    body: Assign,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.assign")],
    response: Response,
) -> TicketOut:
    """Give the ticket to somebody who answers for it (派单)."""
    ticket = await _found(session, ticket_id, match)
    await operations.assign_ticket(session, caller, ticket, body.assignee, body.note)
    return _answer(ticket, response)


@router.post("/tickets/{ticket_id}/resolve")
async def resolve_ticket(
    ticket_id: UUID,
    body: Note,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.resolve")],
    response: Response,
) -> TicketOut:
    """Say that the matter is dealt with (办结)."""
    ticket = await _found(session, ticket_id, match)
    await operations.resolve_ticket(session, caller, ticket, body.note)
    return _answer(ticket, response)


@router.post("/tickets/{ticket_id}/close")
async def close_ticket(
    ticket_id: UUID,
    body: Note,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.close")],
    response: Response,
) -> TicketOut:
    """End the resolved ticket (结案)."""
    ticket = await _found(session, ticket_id, match)
    await operations.close_ticket(session, caller, ticket, body.note)
    return _answer(ticket, response)


@router.post("/tickets/{ticket_id}/rate")
async def rate_ticket(
    ticket_id: UUID,
    body: Rate,
    match: IfMatch,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.rate")],
    response: Response,
) -> TicketOut:
    """Say how well it was answered (评价), 1 to 5."""
    ticket = await _found(session, ticket_id, match)
    await operations.rate_ticket(session, caller, ticket, body.rating, body.note)
    return _answer(ticket, response)


async def _found(session: Transaction, ticket_id: UUID, match: IfMatch) -> Ticket:
    ticket = await operations.find_ticket(session, ticket_id, to_change=True)
    match.check(ticket)
    return ticket


def _answer(ticket: Ticket, response: Response) -> TicketOut:
    set_etag(response, ticket)
    return TicketOut.model_validate(ticket)
