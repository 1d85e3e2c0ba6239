"""Routes of the residents service."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from linli.crypto import Keyring
from linli.etags import IfMatch, set_etag
from linli.paging import Paging, grids_of
from linli.personal import Keys
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import Router, Transaction
from linli.units import UnitCode
from residents import identity
from residents.models import Household, Resident
from residents.operations import households, imports, residents
from residents.schemas import (
    Counts,
    HouseholdIn,
    HouseholdOut,
    Import,
    Imported,
    PersonIn,
    ResidentChange,
    ResidentIn,
    ResidentOut,
    Reveal,
    Revealed,
    Search,
)

router = Router(prefix="/residents/v1", tags=["residents"])
# What is sought or shown here must not be kept for a repetition of the request, so these are no routes with an
# Idempotency-Key. They read; repeated, they read again and are noted again.
personal = APIRouter(prefix="/residents/v1", tags=["residents"])


Reader = Annotated[Principal, require("residents.read")]
Writer = Annotated[Principal, require("residents.write")]


@router.post("/households", status_code=201)
async def add_household(body: HouseholdIn, session: Transaction, caller: Writer, response: Response) -> HouseholdOut:
    """Register a household at a door of a building (立户)."""
    household = await households.add_household(session, caller, body.building, body.staircase, body.door)
    response.headers["Location"] = f"/residents/v1/households/{household.id}"
    return _household(household)


@router.get("/households/{household_id}")
async def read_household(household_id: UUID, session: Transaction, caller: Reader) -> HouseholdOut:
    """Read a household; its people are at /residents?household=."""
    return _household(await households.find_household(session, caller, household_id))


@router.post("/residents", status_code=201)
async def register_resident(
    body: ResidentIn, session: Transaction, keyring: Keys, caller: Writer, response: Response
) -> ResidentOut:
    """Register somebody in a household (登记)."""
    resident = await residents.register(session, keyring, caller, body.household, _person(body))
    response.headers["Location"] = f"/residents/v1/residents/{resident.id}"
    return await _resident(session, keyring, resident, response)


@router.get("/residents")
async def list_residents(
    session: Transaction,
    keyring: Keys,
    caller: Reader,
    page: Paging,
    request: Request,
    response: Response,
    within: UnitCode | None = None,
    household: UUID | None = None,
) -> Paged[ResidentOut]:
    """List residents by where they live, masked."""
    rows, following = await page.of(
        session,
        residents.residents_within(caller, within, household),
        key=(Resident.unit, Resident.id),
        ways=grids_of(session, Resident.unit_grid),
        request=request,
        response=response,
    )
    return Paged(items=await _residents(session, keyring, rows), next=following)


@personal.post("/residents/search")
async def search_residents(
    body: Search,
    session: Transaction,
    keyring: Keys,
    caller: Reader,
    page: Paging,
    request: Request,
    response: Response,
) -> Paged[ResidentOut]:
    """Look up residents by phone, ID number or the beginning of a name (查找); noted, and 300 times an hour at most."""
    query = await residents.search(session, keyring, caller, **body.model_dump())
    rows, following = await page.of(
        session,
        query,
        key=(Resident.unit, Resident.id),
        ways=grids_of(session, Resident.unit_grid),
        request=request,
        response=response,
    )
    return Paged(items=await _residents(session, keyring, rows), next=following)


@router.get("/residents/{resident_id}")
async def read_resident(
    resident_id: UUID, session: Transaction, keyring: Keys, caller: Reader, response: Response
) -> ResidentOut:
    """Read a resident, masked."""
    return await _resident(session, keyring, await residents.find(session, caller, resident_id), response)


@router.patch("/residents/{resident_id}")
async def change_resident(
    resident_id: UUID,
    body: ResidentChange,
    match: IfMatch,
    session: Transaction,
    keyring: Keys,
    caller: Writer,
    response: Response,
) -> ResidentOut:
    """Change what is known about a resident, or move them to another household (变更、迁移)."""
    resident = await residents.find(session, caller, resident_id, lock=True)
    match.check(resident)
    await residents.change(session, keyring, caller, resident, body.model_dump(exclude_unset=True))
    return await _resident(session, keyring, resident, response)


@personal.post("/residents/{resident_id}/reveal")
async def reveal_resident(
    resident_id: UUID,
    body: Reveal,
    session: Transaction,
    keyring: Keys,
    caller: Annotated[Principal, require("residents.reveal")],
) -> Revealed:
    """Show phone or ID number in full, for a purpose that is kept (查看完整信息); 60 times an hour at most."""
    return Revealed(
        **await residents.reveal(session, keyring, caller, resident_id, fields=body.fields, purpose=body.purpose)
    )


@router.post("/imports")
async def import_residents(body: Import, session: Transaction, keyring: Keys, caller: Writer) -> Imported:
    """Register many households with their people, all or none (批量导入)."""
    homes = [
        imports.Home(one.building, one.staircase, one.door, [_person(row, row.id) for row in one.residents], one.id)
        for one in body.households
    ]
    return Imported.model_validate(await imports.import_households(session, keyring, caller, homes))


@router.get("/units/{unit}/counts")
async def count_unit(unit: UnitCode, session: Transaction, caller: Reader) -> Counts:
    """Count buildings, households and residents at or below a unit, as of now (底数)."""
    return Counts.model_validate(await households.count_unit(session, caller, unit, identity.today()))


def _person(body: PersonIn, id_: UUID | None = None) -> residents.Person:
    return residents.Person(body.name, body.sex, body.born, body.lives_here, body.phone, body.id_number, id_)


def _household(row: Household) -> HouseholdOut:
    return HouseholdOut(
        id=row.id,
        unit=row.unit,
        building=row.building_id,
        staircase=row.staircase,
        door=row.door,
        residents=row.residents,
        living=row.living,
        occupied=row.occupied,
        living_alone=row.living_alone,
        all_elderly=row.all_elderly(identity.today()),
    )


async def _residents(session: Transaction, keyring: Keyring, rows: Sequence[Resident]) -> list[ResidentOut]:
    return [
        ResidentOut(
            id=one.resident.id,
            unit=one.resident.unit,
            household=one.resident.household_id,
            name=one.resident.name,
            gender=one.resident.gender,
            born_on=one.resident.born_on,
            lives_here=one.resident.lives_here,
            phone=one.phone,
            id_number=one.id_number,
            registered_at=one.resident.registered_at,
            version=one.resident.version,
        )
        for one in await residents.masked(session, keyring, rows)
    ]


async def _resident(session: Transaction, keyring: Keyring, resident: Resident, response: Response) -> ResidentOut:
    set_etag(response, resident)
    return (await _residents(session, keyring, [resident]))[0]
