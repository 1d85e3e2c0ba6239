"""Residents' groups, buildings and staircases over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from directory.api.units import Pages, Reader
from directory.models import Building, ResidentsGroup, Staircase
from directory.operations import places as operations
from directory.operations import staircases
from directory.operations.lookup import find, within_unit
from directory.schemas import (
    BuildingChange,
    BuildingIn,
    BuildingOut,
    BuildingsIn,
    CountsOut,
    GroupIn,
    GroupOut,
    StaircaseChange,
    StaircaseOut,
)
from linli.etags import IfMatch, set_etag
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import PublicWithin, Router, Transaction, Within

router = Router(prefix="/directory/v1", tags=["places"])
Writer = Annotated[Principal, require("places.write")]
StaffReader = Annotated[Principal, require("staff.read")]


@router.get("/groups")
async def list_groups(
    session: Transaction, principal: Reader, page: Pages, request: Request, response: Response, within: PublicWithin
) -> Paged[GroupOut]:
    """List residents' groups (居民小组) at or below a unit, your own by default."""
    found = await within_unit(session, ResidentsGroup, principal.unit if within is None else within)
    rows, following = await page.of(session, found, key=(ResidentsGroup.id,), request=request, response=response)
    return Paged(items=[GroupOut.model_validate(row) for row in rows], next=following)


@router.post("/groups", status_code=201)
async def create_group(body: GroupIn, session: Transaction, principal: Writer, response: Response) -> GroupOut:
    """Create a residents' group in a grid."""
    group = await operations.create_group(session, principal, body.unit, body.name)
    set_etag(response, group)
    return GroupOut.model_validate(group)


@router.get("/buildings")
async def list_buildings(
    session: Transaction,
    principal: Reader,
    page: Pages,
    request: Request,
    response: Response,
    within: PublicWithin,
    group: UUID | None = None,
) -> Paged[BuildingOut]:
    """List buildings (楼栋) at or below a unit, your own by default: all, or those of one residents' group."""
    found = await within_unit(session, Building, principal.unit if within is None else within)
    if group is not None:
        found = found.where(Building.group_id == group)
    rows, following = await page.of(session, found, key=(Building.id,), request=request, response=response)
    return Paged(items=[BuildingOut.model_validate(row) for row in rows], next=following)


@router.post("/buildings", status_code=201)
async def create_building(body: BuildingIn, session: Transaction, principal: Writer, response: Response) -> BuildingOut:
    """Create a building in a micro-grid, with its staircases."""
    building = await operations.create_building(session, principal, operations.Site(**body.model_dump()))
    response.headers["Location"] = f"/directory/v1/buildings/{building.id}"
    set_etag(response, building)
    return BuildingOut.model_validate(building)


@router.post("/buildings/import")
async def import_buildings(body: BuildingsIn, session: Transaction, principal: Writer) -> CountsOut:
    """Create, move and rename up to 5,000 buildings of one district, all or none; doing it again changes nothing."""
    sites = [operations.Site(**row.model_dump()) for row in body.buildings]
    return CountsOut.model_validate(await operations.import_buildings(session, principal, sites))


@router.get("/buildings/{building}")
async def get_building(building: UUID, session: Transaction, _: Reader, response: Response) -> BuildingOut:
    """Look up a building."""
    found = await find(session, Building, building, "building")
    set_etag(response, found)
    return BuildingOut.model_validate(found)


@router.patch("/buildings/{building}")
async def change_building(
    building: UUID, body: BuildingChange, session: Transaction, principal: Writer, match: IfMatch, response: Response
) -> BuildingOut:
    """Move a building whole to another micro-grid, rename it, change its group or staircases, or pull it down."""
    found = await find(session, Building, building, "building", lock=True)
    match.check(found)
    found = await operations.change_building(session, principal, found, body.changes())
    set_etag(response, found)
    return BuildingOut.model_validate(found)


@router.get("/staircases")
async def list_staircases(
    *,
    session: Transaction,
    principal: StaffReader,
    page: Pages,
    request: Request,
    response: Response,
    within: Within,
    building: UUID | None = None,
    unstaffed: Annotated[bool, Query(description="Only staircases without a head (没有楼组长)")] = False,
) -> Paged[StaircaseOut]:
    """List staircases (楼组) at or below a unit, your own by default."""
    found = await within_unit(session, Staircase, principal.unit if within is None else within)
    if building is not None:
        found = found.where(Staircase.building_id == building)
    if unstaffed:
        found = found.where(Staircase.head.is_(None))
    rows, following = await page.of(session, found, key=(Staircase.id,), request=request, response=response)
    return Paged(items=[StaircaseOut.model_validate(row) for row in rows], next=following)


@router.patch("/staircases/{staircase}")
async def change_staircase(
    staircase: UUID, body: StaircaseChange, session: Transaction, principal: Writer, match: IfMatch, response: Response
) -> StaircaseOut:
    """Appoint the head of a staircase (楼组长)."""
    found = await find(session, Staircase, staircase, "staircase", lock=True)
    match.check(found)
    found = await staircases.appoint_head(session, principal, found, body.head)
    set_etag(response, found)
    return StaircaseOut.model_validate(found)
