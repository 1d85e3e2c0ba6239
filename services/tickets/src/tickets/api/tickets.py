"""Routes of tickets: listed, read, and given to somebody."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from linli.etags import set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets import sight
from tickets.models.moves import Level, State
from tickets.models.tickets import Entry, Source, Ticket
from tickets.operations import tickets as operations
from tickets.schemas.tickets import Category, EntryOut, TicketOut, TicketSeen

router = Router(prefix="/tickets/v1", tags=["tickets"])


@router.get("/tickets")
async def list_tickets(
    session: Transaction,
    caller: Annotated[Principal, require("tickets.read")],
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    state: State | None = None,
    assignee: UUID | None = None,
    reporter: UUID | None = None,
    level: Level | None = None,
    category: Category | None = None,
    parent: UUID | None = None,
    source: Source | None = None,
    *,
    overdue: Annotated[bool, Query(description="Only those with a clock that has run out (超时)")] = False,
) -> Paged[TicketOut]:
    """List the tickets the caller may see, newest first."""
    people = {"assignee": assignee, "reporter": reporter, "parent": parent}
    words = {"state": state, "level": level, "category": category, "source": source}
    rows, following = await page.of(
        session,
        operations.tickets_within(caller.district, within, overdue=overdue, **people, **words),
        key=(Ticket.id.desc(),),
        ways=await sight.ways_to_tickets(session),
        request=request,
        response=response,
    )
    return Paged(items=[TicketOut.model_validate(row) for row in rows], next=following)


@router.get("/tickets/{ticket_id}")
async def read_ticket(
    ticket_id: UUID,
    session: Transaction,
    caller: Annotated[Principal, require("tickets.read")],
    response: Response,
) -> TicketSeen:
    """Read one ticket, with the moves that are the caller's to make."""
    ticket = await operations.find_ticket(session, ticket_id)
    set_etag(response, ticket)
    return TicketSeen.model_validate(ticket).model_copy(update={"possible": ticket.legal_moves(caller)})


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


def answer(ticket: Ticket, response: Response) -> TicketOut:
    """Answer with a ticket as it stands, and its ETag."""
    set_etag(response, ticket)
    return TicketOut.model_validate(ticket)
