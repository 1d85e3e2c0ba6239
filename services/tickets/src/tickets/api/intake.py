"""The route by which reports come in."""

from fastapi import Request, Response

from linli.etags import set_etag
from linli.service import Router, asked
from tickets.operations import intake
from tickets.schemas.tickets import TicketOpen, TicketOut

router = Router(prefix="/tickets/v1", tags=["tickets"])


@router.post_direct("/tickets", "tickets.open", status_code=201)
async def open_ticket(body: TicketOpen, request: Request, response: Response) -> TicketOut:
    """Report something (上报): opens a ticket for a place."""
    database, caller = asked(request)
    report = await intake.open_ticket(database, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/tickets/{report.id}"
    set_etag(response, report)
    return TicketOut.model_validate(report)
