"""The route by which reports come in."""

from typing import Annotated

from fastapi import Response

from linli.etags import set_etag
from linli.security import Principal, require
from linli.service import DirectTransaction, Router
from tickets.operations import intake
from tickets.schemas.tickets import TicketOpen, TicketOut

router = Router(prefix="/tickets/v1", tags=["tickets"])


@router.post("/tickets", status_code=201)
async def open_ticket(
    body: TicketOpen,
    database: DirectTransaction,
    caller: Annotated[Principal, require("tickets.open")],
    response: Response,
) -> TicketOut:
    """Report something (上报): opens a ticket for a place."""
    report = await intake.open_ticket(database, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/tickets/{report.id}"
    set_etag(response, report)
    return TicketOut.model_validate(report)
