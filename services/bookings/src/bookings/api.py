"""Routes of the bookings service."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from bookings import operations
from bookings.models import Booking, Centre, Session
from bookings.schemas import (
    BookingOut,
    CentreChange,
    CentreIn,
    CentreOut,
    SessionChange,
    SessionIn,
    SessionOut,
)
from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Moment, Paged
from linli.security import Principal, require
from linli.service import OwnTransaction, PublicWithin, Router, Transaction

router = Router(prefix="/bookings/v1", tags=["bookings"])


@router.post("/centres", status_code=201)
async def create_centre(
    body: CentreIn, db: Transaction, caller: Annotated[Principal, require("centres.write")], response: Response
) -> CentreOut:
    """Open a neighbourhood centre (邻里中心)."""
    centre = await operations.create_centre(db, caller, **body.model_dump())
    response.headers["Location"] = f"/bookings/v1/centres/{centre.id}"
    return _centre(centre, response)


@router.get("/centres", dependencies=[require("centres.read")])
async def list_centres(
    db: Transaction,
    page: Paging,
    request: Request,
    response: Response,
    within: PublicWithin,
) -> Paged[CentreOut]:
    """List the centres, by name."""
    rows, following = await page.of(
        db,
        operations.centres_within(within),
        key=(Centre.name, Centre.id),
        request=request,
        response=response,
    )
    return Paged(items=[CentreOut.model_validate(row) for row in rows], next=following)


@router.get("/centres/{centre_id}", dependencies=[require("centres.read")])
async def read_centre(centre_id: UUID, db: Transaction, response: Response) -> CentreOut:
    """Read one centre."""
    return _centre(await operations.find_centre(db, centre_id), response)


@router.patch("/centres/{centre_id}", dependencies=[require("centres.write")])
async def change_centre(
    centre_id: UUID, body: CentreChange, match: IfMatch, db: Transaction, response: Response
) -> CentreOut:
    """Rename, move, close or reopen a centre."""
    centre = await operations.find_centre(db, centre_id, to_change=True)
    match.check(centre)
    await operations.change_centre(db, centre, **body.model_dump())
    return _centre(centre, response)


@router.post("/centres/{centre_id}/sessions", status_code=201, dependencies=[require("centres.write")])
async def schedule_session(centre_id: UUID, body: SessionIn, db: Transaction, response: Response) -> SessionOut:
    """Offer a session (场次) at a centre."""
    centre = await operations.find_centre(db, centre_id)
    session = await operations.schedule_session(db, centre, **body.model_dump())
    response.headers["Location"] = f"/bookings/v1/sessions/{session.id}"
    return _session(session, response)


@router.get("/sessions", dependencies=[require("centres.read")])
async def list_sessions(
    db: Transaction,
    page: Paging,
    request: Request,
    response: Response,
    within: PublicWithin,
    centre: UUID | None = None,
    since: Annotated[Moment | None, Query(alias="from", description="Starts then or later (起)")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Starts before (止)")] = None,
) -> Paged[SessionOut]:
    """List sessions, by their start."""
    rows, following = await page.of(
        db,
        operations.sessions_within(within, centre, since, until),
        key=(Session.starts_at, Session.id),
        request=request,
        response=response,
    )
    return Paged(items=[SessionOut.model_validate(row) for row in rows], next=following)


@router.get("/sessions/{session_id}", dependencies=[require("centres.read")])
async def read_session(session_id: UUID, db: Transaction, response: Response) -> SessionOut:
    """Read one session; its ETag tells of changes by staff, not of seats taken."""
    return _session(await operations.find_session(db, session_id), response)


@router.patch("/sessions/{session_id}", dependencies=[require("centres.write")])
async def change_session(
    session_id: UUID, body: SessionChange, match: IfMatch, db: Transaction, response: Response
) -> SessionOut:
    """Change a session that lies ahead; its seats never below what is booked."""
    session = await operations.find_session(db, session_id, to_change=True)
    match.check(session)
    await operations.change_session(db, session, **body.model_dump())
    return _session(session, response)


@router.post("/sessions/{session_id}/bookings", status_code=201)
async def book_seat(
    session_id: UUID,
    db: OwnTransaction,
    caller: Annotated[Principal, require("bookings.write")],
    response: Response,
) -> BookingOut:
    """Take a seat for oneself (预约)."""
    return _booking(await operations.book_seat(db, caller, session_id), response)


@router.get("/sessions/{session_id}/bookings", dependencies=[require("bookings.read")])
async def list_bookings_of_session(
    session_id: UUID,
    db: Transaction,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[BookingOut]:
    """List who booked a session, in the order they did."""
    session = await operations.find_session(db, session_id)
    rows, following = await page.of(
        db, operations.bookings_in(session), key=(Booking.id,), request=request, response=response
    )
    return Paged(items=[BookingOut.model_validate(row) for row in rows], next=following)


@router.get("/bookings")
async def list_own_bookings(
    db: OwnTransaction,
    page: Paging,
    caller: Annotated[Principal, require("bookings.write")],
    request: Request,
    response: Response,
) -> Paged[BookingOut]:
    """List one's own bookings, newest first."""
    rows, following = await page.of(
        db, operations.bookings_of(caller.id), key=(Booking.id.desc(),), request=request, response=response
    )
    return Paged(items=[BookingOut.model_validate(row) for row in rows], next=following)


@router.post("/bookings/{booking_id}/cancel", dependencies=[require("bookings.write")])
async def cancel_booking(booking_id: UUID, match: IfMatch, db: OwnTransaction, response: Response) -> BookingOut:
    """Give one's seat back (取消预约)."""
    booking = await operations.find_booking(db, booking_id)
    match.check(booking)
    await operations.cancel_booking(db, booking)
    return _booking(booking, response)


def _centre(centre: Centre, response: Response) -> CentreOut:
    set_etag(response, centre)
    return CentreOut.model_validate(centre)


def _session(session: Session, response: Response) -> SessionOut:
    set_etag(response, session)
    return SessionOut.model_validate(session)


def _booking(booking: Booking, response: Response) -> BookingOut:
    set_etag(response, booking)
    return BookingOut.model_validate(booking)
