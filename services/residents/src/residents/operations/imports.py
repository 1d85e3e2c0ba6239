"""Bulk import: many households with their people at once, all or none, and safe to run twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli.crypto import DistrictKeys, Keyring
from linli.events.residents import ResidentsImported
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound, Problem
from linli.security import Principal
from residents.models import ID_NUMBER, PHONE, Household, KnownBuilding, Resident
from residents.operations.residents import Person, duplicate, refuse_trying_out, seat, seen_of
from residents.problems import HouseholdExists


@dataclass(frozen=True, slots=True)
class Home:
    """What is said about a household."""

    building: UUID
    staircase: int | None
    door: str
    residents: Sequence[Person]
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows were made, and how many were there already."""

    households_created: int
    households_existing: int
    residents_created: int
    residents_existing: int


_HOUSEHOLDS: Final = text(
    "INSERT INTO household (district, id, unit, building_id, staircase, door)"
    " SELECT b.district, new.id, b.unit, b.id, new.staircase, new.door"
    " FROM unnest(CAST(:id AS uuid[]), CAST(:building AS uuid[]), CAST(:staircase AS smallint[]),"
    " CAST(:door AS text[])) AS new (id, building, staircase, door)"
    " JOIN known_building b ON b.district = :district AND b.id = new.building"
    " ORDER BY new.id"
    " ON CONFLICT (district, building_id, staircase, door) DO NOTHING RETURNING id"
)
_RESIDENTS: Final = text(
    "INSERT INTO resident (district, id, unit, household_id, name, gender, born_on, lives_here, phone_cipher,"
    " phone_index, id_number_cipher, id_number_index, version)"
    " SELECT h.district, new.id, h.unit, h.id, new.name, new.gender, new.born_on, new.lives_here,"
    " new.phone_cipher, new.phone_index, new.id_number_cipher, new.id_number_index, 1"
    " FROM unnest(CAST(:id AS uuid[]), CAST(:household AS uuid[]), CAST(:name AS text[]), CAST(:gender AS text[]),"
    " CAST(:born_on AS date[]), CAST(:lives_here AS boolean[]), CAST(:phone_cipher AS bytea[]),"
    " CAST(:phone_index AS bytea[]), CAST(:id_number_cipher AS bytea[]), CAST(:id_number_index AS bytea[]))"
    " AS new (id, household, name, gender, born_on, lives_here, phone_cipher, phone_index, id_number_cipher,"
    " id_number_index)"
    " JOIN household h ON h.district = :district AND h.id = new.household"
    " ORDER BY new.id"
    " ON CONFLICT (district, id_number_index) DO NOTHING RETURNING id"
)


async def import_households(
    session: AsyncSession, keyring: Keyring, principal: Principal, homes: Sequence[Home]
) -> Imported:
    """Register many households of one district; rows whose id is there already stay as they are.

    Of people who are registered where the caller can't see them, it names as many as he may name within an hour.

    Raises:
        NotFound: 404, naming each household whose building is not known, not in use or out of sight.
        HouseholdExists: 409, naming each whose door is taken.
        DuplicateIdNumber: 409, naming each person whose ID number is registered already.
        TooManyUnseen: 429.
    """
    district = principal.district
    left = 0
    if any(person.id_number is not None for home in homes for person in home.residents):
        left = await refuse_trying_out(session, principal)
    named = [(home.id or uuid7(), index, home) for index, home in enumerate(homes)]
    await _require_buildings(session, district, homes)
    known = await _known(session, Household, district, (home.id for home in homes))
    fresh = [row for row in named if row[0] not in known]
    made = await _insert(
        session,
        _HOUSEHOLDS,
        district,
        [
            {"id": id_, "building": home.building, "staircase": home.staircase, "door": home.door}
            for id_, _, home in fresh
        ],
    )
    if taken := [f"#/households/{index}/door" for id_, index, _ in fresh if id_ not in made]:
        raise _at(HouseholdExists(), taken)
    people = [
        (person.id or uuid7(), f"#/households/{index}/residents/{place}", id_, person)
        for id_, index, home in named
        for place, person in enumerate(home.residents)
    ]
    registered = await _known(session, Resident, district, (person[3].id for person in people))
    keys = await keyring.of(session, district)
    newcomers = [person for person in people if person[0] not in registered]
    rows = {id_: _row(keys, id_, home, person) for id_, _, home, person in newcomers}
    added = await _insert(session, _RESIDENTS, district, list(rows.values()))
    doubles = [(pointer, rows[id_]["id_number_index"]) for id_, pointer, _, _ in newcomers if id_ not in added]
    if doubles:
        # One that stands twice in the import is its own double, and tells of nobody else: he sees himself by now.
        indexes = [index for _, index in doubles if isinstance(index, bytes)]
        seen = await seen_of(session, principal, indexes)
        unseen = [index for index in dict.fromkeys(indexes) if index not in seen]
        told = seen.union(unseen[:left])
        pointers = [f"{pointer}/id_number" for pointer, index in doubles if index in told]
        raise _at(duplicate(principal, seat(principal), unseen[:left]), pointers)
    if made or added:
        batch = ResidentsImported(
            batch=uuid7(), unit=principal.unit, sequence=1, residents=len(added), households=len(made)
        )
        await publish(session, batch)
    return Imported(len(made), len(known), len(added), len(registered))


async def _require_buildings(session: AsyncSession, district: int, homes: Sequence[Home]) -> None:
    wanted = {home.building for home in homes}
    query = select(KnownBuilding.id).where(
        KnownBuilding.district == district, KnownBuilding.id.in_(wanted), KnownBuilding.active
    )
    found = set(await session.scalars(query))
    if lost := [(index, home.building) for index, home in enumerate(homes) if home.building not in found]:
        problem = NotFound(kind="building", id=str(lost[0][1]))
        raise _at(problem, [f"#/households/{index}/building" for index, _ in lost])


async def _known(
    session: AsyncSession, table: type[Household | Resident], district: int, ids: Iterable[UUID | None]
) -> set[UUID]:
    given = [id_ for id_ in ids if id_ is not None]
    return set(await session.scalars(select(table.id).where(table.district == district, table.id.in_(given))))


async def _insert(
    session: AsyncSession,
    statement: TextClause,
    district: int,
    rows: Sequence[dict[str, object]],
) -> set[UUID]:
    if not rows:
        return set()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    try:
        return set(await session.scalars(statement, {"district": district, **columns}))
    except IntegrityError as error:
        for kind in ("household", "resident"):
            # The id belongs to a row that the caller may not see.
            if f"pk_{kind}" in str(error.orig):
                raise NotFound(kind=kind, id="of this import") from None
        raise


def _row(keys: DistrictKeys, id_: UUID, household: UUID, person: Person) -> dict[str, object]:
    phone, number = person.phone, person.id_number
    return {
        "id": id_,
        "household": household,
        "name": person.name,
        "gender": person.gender,
        "born_on": person.born_on,
        "lives_here": person.lives_here,
        "phone_cipher": None if phone is None else keys.seal(PHONE, id_, phone),
        "phone_index": None if phone is None else keys.index(PHONE, phone),
        "id_number_cipher": None if number is None else keys.seal(ID_NUMBER, id_, number),
        "id_number_index": None if number is None else keys.index(ID_NUMBER, number),
    }


def _at(problem: Problem, pointers: Iterable[str]) -> Problem:
    problem.errors = [
        {"pointer": pointer, "detail": problem.title, "detail_zh": problem.title_zh} for pointer in pointers
    ]
    return problem
