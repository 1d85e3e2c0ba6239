"""Routes of places with a QR code."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Query, Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction, Within
from tickets import qr
from tickets.models.places import Place
from tickets.operations import places as operations
from tickets.schemas.places import PlaceChange, PlaceMake, PlaceOut, PlaceReport, PlaceSeen
from tickets.schemas.tickets import TicketOut

router = Router(prefix="/tickets/v1", tags=["places"])
Writer = Annotated[Principal, require("places.write")]
Reporter = Annotated[Principal, require("tickets.open")]
Code = Annotated[
    str, Path(max_length=64, description="What the QR code ends with (点位码)", examples=["ab2c3d4e5f6g7h2i"])
]
_SVG: Final = "image/svg+xml"


def _drawing(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}, "description": "二维码"}}


@router.post("/places", status_code=201)
async def make_place(
    body: PlaceMake, session: Transaction, caller: Writer, request: Request, response: Response
) -> PlaceOut:
    """Make a place with a QR code (新建点位)."""
    place = await operations.make_place(session, caller, **dict(body))
    response.headers["Location"] = f"/tickets/v1/places/{place.id}"
    return _answer(place, request, response)


@router.get("/places")
async def list_places(
    session: Transaction,
    caller: Annotated[Principal, require("tickets.read")],
    page: Paging,
    request: Request,
    response: Response,
    within: Within,
    *,
    active: Annotated[bool | None, Query(description="Only those in use, or only the others (是否启用)")] = None,
) -> Paged[PlaceSeen]:
    """List places."""
    statement = operations.places_within(caller.district, within, active=active)
    rows, following = await page.of(session, statement, key=(Place.id,), request=request, response=response)
    return Paged(items=[PlaceSeen.model_validate(row) for row in rows], next=following)


@router.get("/place-sheet.svg", response_class=Response, responses=_drawing(_SVG))
async def print_sheet(
    session: Transaction, caller: Writer, page: Paging, request: Request, response: Response, within: Within
) -> Response:
    """Draw an A4 sheet of 12 codes with names, to be printed and cut (打印页); `Link` leads to the next sheet."""
    page.limit = min(page.limit, qr.SHEET)
    statement = operations.places_within(caller.district, within, active=True)
    rows, _ = await page.of(session, statement, key=(Place.id,), request=request, response=response)
    drawn = qr.sheet([(place.name, _url(place, request)) for place in rows])
    return Response(drawn, media_type=_SVG, headers=dict(response.headers))


@router.get("/places/{place_id}", dependencies=[require("places.write")])
async def read_place(place_id: UUID, session: Transaction, request: Request, response: Response) -> PlaceOut:
    """Read a place with its code: whoever keeps places, as a code can be misused."""
    return _answer(await operations.find_place(session, place_id), request, response)


@router.put("/places/{place_id}", dependencies=[require("places.write")])
async def change_place(
    place_id: UUID, body: PlaceChange, match: IfMatch, session: Transaction, request: Request, response: Response
) -> PlaceOut:
    """Say what a place is like, and whether its code leads anywhere (修改或停用)."""
    place = await operations.find_place(session, place_id, to_change=True)
    match.check(place)
    place.name, place.active = body.name, body.active
    place.latitude, place.longitude = body.latitude, body.longitude
    await session.flush()
    return _answer(place, request, response)


@router.post("/places/{place_id}/renew", dependencies=[require("places.write")])
async def renew_code(
    place_id: UUID, match: IfMatch, session: Transaction, request: Request, response: Response
) -> PlaceOut:
    """Give a place a new code (换码): the old one leads nowhere from now on."""
    place = await operations.find_place(session, place_id, to_change=True)
    match.check(place)
    place.renew()
    await session.flush()
    return _answer(place, request, response)


@router.get(
    "/places/{place_id}/qr.svg",
    response_class=Response,
    responses=_drawing(_SVG),
    dependencies=[require("places.write")],
)
async def draw_svg(place_id: UUID, session: Transaction, request: Request) -> Response:
    """Draw a place's QR code, to be printed (二维码)."""
    place = await operations.find_place(session, place_id)
    return Response(qr.svg(_url(place, request)), media_type=_SVG)


@router.get(
    "/places/{place_id}/qr.png",
    response_class=Response,
    responses=_drawing("image/png"),
    dependencies=[require("places.write")],
)
async def draw_png(place_id: UUID, session: Transaction, request: Request) -> Response:
    """Draw a place's QR code, for a screen (二维码)."""
    place = await operations.find_place(session, place_id)
    return Response(qr.png(_url(place, request)), media_type="image/png")


@router.get("/codes/{code}")
async def read_code(code: Code, session: Transaction, caller: Reporter) -> PlaceSeen:
    """Tell what place a code stands at (扫码)."""
    return PlaceSeen.model_validate(await operations.find_code(session, caller, code))


@router.post("/codes/{code}/tickets", status_code=201)
async def report_place(
    code: Code, body: PlaceReport, session: Transaction, caller: Reporter, response: Response
) -> TicketOut:
    """Report something on the place that a code stands at (扫码报事)."""
    ticket = await operations.report_place(session, caller, code, **dict(body))
    response.headers["Location"] = f"/tickets/v1/tickets/{ticket.id}"
    set_etag(response, ticket)
    return TicketOut.model_validate(ticket)


def _url(place: Place, request: Request) -> str:
    return f"{request.app.state.settings.public_url.rstrip('/')}/tickets/r/{place.code}"


def _answer(place: Place, request: Request, response: Response) -> PlaceOut:
    set_etag(response, place)
    return PlaceOut.of(place, _url(place, request))
