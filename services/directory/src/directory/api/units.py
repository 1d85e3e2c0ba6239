"""The unit tree over HTTP."""

from typing import Annotated

from fastapi import Query, Request, Response

from directory.models import Unit
from directory.operations import units as operations
from directory.operations.lookup import find_unit
from directory.schemas import CountsOut, UnitChange, UnitIn, UnitOut, UnitsIn
from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.problems import Forbidden
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import PublicWithin, Router, Transaction
from linli.units import Kind, UnitCode, short

router = Router(prefix="/directory/v1", tags=["units"])
Reader = Annotated[Principal, require("units.read")]
Writer = Annotated[Principal, require("units.write")]
Pages = Paging


@router.get("/units")
async def list_units(
    *,
    session: Transaction,
    principal: Reader,
    page: Pages,
    request: Request,
    response: Response,
    within: PublicWithin,
    kind: Kind | None = None,
    unstaffed: Annotated[
        bool,
        Query(
            description="Only grids without 网格长/网格员, micro-grids without 微网格员, communities without manager"
        ),
    ] = False,
) -> Paged[UnitOut]:
    """List units at or below one, your own by default."""
    if unstaffed and "staff.read" not in principal.permissions:
        raise Forbidden(permission="staff.read")
    found = await operations.units_within(
        session, principal.unit if within is None else within, kind, unstaffed=unstaffed
    )
    rows, following = await page.of(session, found, key=(Unit.unit,), request=request, response=response)
    return Paged(items=[UnitOut.model_validate(row) for row in rows], next=following)


@router.post("/units", status_code=201)
async def create_unit(body: UnitIn, session: Transaction, principal: Writer, response: Response) -> UnitOut:
    """Create a unit under its parent; what kind it is follows from the code."""
    unit = await operations.create_unit(session, principal, body.code, body.name)
    response.headers["Location"] = f"/directory/v1/units/{short(unit.unit)}"
    set_etag(response, unit)
    return UnitOut.model_validate(unit)


@router.post("/units/import")
async def import_units(body: UnitsIn, session: Transaction, principal: Writer) -> CountsOut:
    """Create and rename up to 5,000 units, all or none; doing it again changes nothing."""
    counts = await operations.import_units(session, principal, [(row.code, row.name) for row in body.units])
    return CountsOut.model_validate(counts)


@router.get("/units/{code}")
async def get_unit(code: UnitCode, session: Transaction, _: Reader, response: Response) -> UnitOut:
    """Look up a unit."""
    unit = await find_unit(session, code)
    set_etag(response, unit)
    return UnitOut.model_validate(unit)


@router.get("/units/{code}/children")
async def list_children(
    code: UnitCode, session: Transaction, _: Reader, page: Pages, request: Request, response: Response
) -> Paged[UnitOut]:
    """List what hangs directly under a unit."""
    found = await operations.children_of(session, code)
    rows, following = await page.of(session, found, key=(Unit.unit,), request=request, response=response)
    return Paged(items=[UnitOut.model_validate(row) for row in rows], next=following)


@router.patch("/units/{code}")
async def change_unit(
    code: UnitCode, body: UnitChange, session: Transaction, principal: Writer, match: IfMatch, response: Response
) -> UnitOut:
    """Rename a unit, close it or open it again."""
    unit = await find_unit(session, code, lock=True)
    match.check(unit)
    unit = await operations.change_unit(session, principal, unit, name=body.name, active=body.active)
    set_etag(response, unit)
    return UnitOut.model_validate(unit)
