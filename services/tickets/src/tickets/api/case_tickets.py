"""Routes of the ticket that a case began as (来源工单), for the members of the case's team; each look is noted."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import OwnTransaction, Router
from tickets.api.files import CONTENT, content
from tickets.models.files import File
from tickets.models.tickets import Entry
from tickets.operations.cases import find_case, ticket_of
from tickets.operations.files import files_of, find_file
from tickets.operations.tickets import entries_of
from tickets.schemas.files import FileOut
from tickets.schemas.tickets import EntryOut, TicketOut

router = Router(prefix="/tickets/v1/cases/{case_id}/ticket", tags=["cases"])

Member = Annotated[Principal, require("cases.work")]


@router.get("")
async def read_ticket(case_id: UUID, session: OwnTransaction, caller: Member) -> TicketOut:
    """Read the ticket that a case began as."""
    case = await find_case(session, caller, case_id, fields=["ticket"])
    async with ticket_of(session, case) as ticket:
        return TicketOut.model_validate(ticket)


@router.get("/timeline")
async def list_entries(
    case_id: UUID, session: OwnTransaction, caller: Member, page: Paging, request: Request, response: Response
) -> Paged[EntryOut]:
    """List every step of the ticket that a case began as, oldest first."""
    case = await find_case(session, caller, case_id, fields=["ticket_trail"])
    async with ticket_of(session, case) as ticket:
        rows, following = await page.of(
            session, entries_of(ticket), key=(Entry.sequence,), request=request, response=response
        )
    return Paged(items=[EntryOut.model_validate(row) for row in rows], next=following)


@router.get("/files")
async def list_files(
    case_id: UUID, session: OwnTransaction, caller: Member, page: Paging, request: Request, response: Response
) -> Paged[FileOut]:
    """List the photos and files of the ticket that a case began as, oldest first."""
    case = await find_case(session, caller, case_id, fields=["ticket_files"])
    async with ticket_of(session, case) as ticket:
        rows, following = await page.of(session, files_of(ticket), key=(File.id,), request=request, response=response)
    return Paged(items=[FileOut.model_validate(row) for row in rows], next=following)


@router.get("/files/{file_id}", response_class=StreamingResponse, responses=CONTENT)
async def read_file(
    case_id: UUID, file_id: UUID, session: OwnTransaction, caller: Member, request: Request
) -> Response:
    """Read the content of one of these."""
    case = await find_case(session, caller, case_id, fields=["ticket_files"])
    async with ticket_of(session, case) as ticket:
        file = await find_file(session, ticket.id, file_id)
        return await content(request, file, file.media_type)
