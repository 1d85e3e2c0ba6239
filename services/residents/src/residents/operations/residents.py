"""Residents (居民): registered, found, changed, and looked at in full only for a reason that is kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from linli import audit, crypto, units
from linli.crypto import Keyring
from linli.events.residents import ResidentRegistered
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from residents import identity
from residents.models import ID_NUMBER, PHONE, Resident
from residents.operations.households import find_household
from residents.problems import DuplicateIdNumber, TooManyReveals, TooManySearches, TooManyUnseen

REVEALS_AN_HOUR: Final = 60
"""How many people's data one person may look at in full within an hour: more than a day's visits, less than a list."""
SEARCHES_AN_HOUR: Final = 300
"""How often one person may search within an hour: more than anybody types, too few to try out phone numbers."""
UNSEEN_AN_HOUR: Final = 20
"""How many people one person may name within an hour who turn out to be registered beyond his sight: people do move."""
_UNSEEN: Final = "residents.unseen"


@dataclass(frozen=True, slots=True)
class Person:
    """What is said about somebody."""

    name: str
    gender: str
    born_on: date
    lives_here: bool
    phone: str | None = None
    id_number: str | None = None
    id: UUID | None = None


async def register(
    session: AsyncSession, keyring: Keyring, principal: Principal, household: UUID, person: Person
) -> Resident:
    """Register somebody in a household.

    Raises:
        NotFound: 404, for a household that does not exist or is out of sight.
        DuplicateIdNumber: 409.
        TooManyUnseen: 429.
    """
    if person.id_number is not None:
        await refuse_trying_out(session, principal)
    home = await find_household(session, principal, household)
    keys = await keyring.of(session, home.district)
    resident = Resident(
        district=home.district,
        id=uuid7(),
        unit=home.unit,
        household_id=home.id,
        name=person.name,
        gender=person.gender,
        born_on=person.born_on,
        lives_here=person.lives_here,
    )
    resident.set_phone(keys, person.phone)
    resident.set_id_number(keys, person.id_number)
    session.add(resident)
    await _save(session, principal, resident)
    await publish(
        session,
        ResidentRegistered(resident=resident.id, household=home.id, unit=resident.unit, sequence=resident.version),
    )
    return resident


async def find(session: AsyncSession, principal: Principal, resident: UUID, *, lock: bool = False) -> Resident:
    """Find a resident, and keep others from changing the row if asked.

    Raises:
        NotFound: 404, also for one out of sight.
    """
    query = select(Resident).where(Resident.district == principal.district, Resident.id == resident)
    found = await session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NotFound(kind="resident", id=str(resident))
    return found


def residents_within(principal: Principal, within: int | None, household: UUID | None) -> Select[Any]:
    """Select the residents the caller may see, of a unit or a household if asked.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
    """
    query = select(Resident)
    if within is not None:
        principal.must_cover(within)
        query = query.where(Resident.unit.between(*units.span(within)))
    if household is not None:
        query = query.where(Resident.district == principal.district, Resident.household_id == household)
    return query


async def search(  # noqa: PLR0913 three things to search by, one place to search in
    session: AsyncSession,
    keyring: Keyring,
    principal: Principal,
    *,
    phone: str | None = None,
    id_number: str | None = None,
    name: str | None = None,
    within: int | None = None,
) -> Select[Any]:
    """Select residents by phone, ID number or the beginning of a name, and note the search in the audit log.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        TooManySearches: 429.
    """
    keys = await keyring.of(session, principal.district)
    query = residents_within(principal, within, None).where(Resident.district == principal.district)
    if phone is not None:
        query, field = query.where(Resident.phone_index == keys.index(PHONE, phone)), "phone"
    elif id_number is not None:
        query, field = query.where(Resident.id_number_index == keys.index(ID_NUMBER, id_number)), "id_number"
    else:
        # A range instead of LIKE, which is not leakproof: under row-level security it could use no index.
        query, field = query.where(Resident.name >= name, Resident.name < f"{name}\U0010ffff"), "name"
    where = seat(principal) if within is None else within
    await audit.record(session, principal, "residents.search", unit=where, subjects=[], fields=[field])
    if await _this_hour(session, principal, "residents.search") > SEARCHES_AN_HOUR:
        raise TooManySearches(limit=SEARCHES_AN_HOUR)
    return query


def seat(principal: Principal) -> int:
    """Give the unit that the caller's acts are noted at when they concern no single one: inside of his scope."""
    return principal.unit if principal.covers(principal.unit) else principal.grids[0]


@dataclass(frozen=True, slots=True)
class Masked:
    """A resident as shown by default."""

    resident: Resident
    phone: str | None
    id_number: str | None


async def masked(session: AsyncSession, keyring: Keyring, residents: Sequence[Resident]) -> list[Masked]:
    """Show residents with their phone and ID numbers masked."""
    shown = []
    for one in residents:
        phone, id_number = await _decrypted(session, keyring, one)
        shown.append(Masked(one, phone and crypto.mask_phone(phone), id_number and crypto.mask_id_number(id_number)))
    return shown


async def change(
    session: AsyncSession, keyring: Keyring, principal: Principal, resident: Resident, changes: dict[str, Any]
) -> None:
    """Change what is known about a locked resident, or move them to another household of the district.

    Raises:
        NotFound: 404, for a household that does not exist or is out of sight.
        DuplicateIdNumber: 409.
        TooManyUnseen: 429.
    """
    if changes.get("id_number") is not None:
        await refuse_trying_out(session, principal)
    keys = await keyring.of(session, resident.district)
    await audit.record(
        session,
        principal,
        "residents.change",
        unit=resident.unit,
        subjects=[resident.id],
        fields=sorted(changes),
    )
    if "household" in changes:
        home = await find_household(session, principal, changes["household"])
        resident.household_id, resident.unit = home.id, home.unit
    if "phone" in changes:
        resident.set_phone(keys, changes["phone"])
    if "id_number" in changes:
        resident.set_id_number(keys, number := changes["id_number"])
        if number is not None:
            resident.born_on, resident.gender = identity.born_on(number), identity.gender(number)
    resident.name = changes.get("name", resident.name)
    resident.lives_here = changes.get("lives_here", resident.lives_here)
    await _save(session, principal, resident)


async def reveal(  # noqa: PLR0913 who sees what of whom and why
    session: AsyncSession,
    keyring: Keyring,
    principal: Principal,
    resident: UUID,
    *,
    fields: Sequence[str],
    purpose: str,
) -> dict[str, str | None]:
    """Show fields in full, and keep who saw them and why.

    Raises:
        NotFound: 404, also for a resident out of sight.
        TooManyReveals: 429.
    """
    found = await find(session, principal, resident)
    await audit.record(
        session,
        principal,
        "residents.reveal",
        unit=found.unit,
        subjects=[found.id],
        fields=sorted(set(fields)),
        purpose=purpose,
    )
    if await _this_hour(session, principal, "residents.reveal") > REVEALS_AN_HOUR:
        raise TooManyReveals(limit=REVEALS_AN_HOUR)
    phone, id_number = await _decrypted(session, keyring, found)
    shown = {"phone": phone, "id_number": id_number}
    return {name: shown[name] for name in fields}


async def _this_hour(session: AsyncSession, principal: Principal, action: str) -> int:
    """Count, after the record, which lets only one at a time of the district pass: two can't both be the last."""
    return await audit.count(session, principal, action, timedelta(hours=1))


async def _decrypted(session: AsyncSession, keyring: Keyring, one: Resident) -> tuple[str | None, str | None]:
    async def opened(column: crypto.Field, sealed: bytes | None) -> str | None:
        return None if sealed is None else await keyring.open(session, one.district, column, one.id, sealed)

    return await opened(PHONE, one.phone_cipher), await opened(ID_NUMBER, one.id_number_cipher)


async def refuse_trying_out(session: AsyncSession, principal: Principal) -> int:
    """Refuse somebody who has named many people already that he can't see, whoever it is this time.

    Returns:
        How many more he may name within the hour.

    Raises:
        TooManyUnseen: 429.
    """
    left = UNSEEN_AN_HOUR - await _this_hour(session, principal, _UNSEEN)
    if left <= 0:
        raise TooManyUnseen(limit=UNSEEN_AN_HOUR)
    return left


def duplicate(principal: Principal, unit: int, indexes: Collection[bytes]) -> DuplicateIdNumber:
    """Make the problem for ID numbers that are registered, which notes each that the caller can't see.

    Args:
        principal: who named them.
        unit: where, inside of his scope.
        indexes: blind indexes of the numbers.
    """
    problem = DuplicateIdNumber()
    return problem.noting(partial(_note_unseen, principal=principal, unit=unit, indexes=frozenset(indexes)))


async def seen_of(session: AsyncSession, principal: Principal, indexes: Collection[bytes]) -> set[bytes | None]:
    """Tell which of some ID numbers, given by their blind indexes, are of people that the caller sees."""
    query = select(Resident.id_number_index).where(
        Resident.district == principal.district, Resident.id_number_index.in_(indexes)
    )
    return set(await session.scalars(query))


async def _note_unseen(session: AsyncSession, principal: Principal, unit: int, indexes: frozenset[bytes]) -> None:
    for _ in indexes.difference(await seen_of(session, principal, indexes)):
        await audit.record(session, principal, _UNSEEN, unit=unit, subjects=[], fields=["id_number"])
    # Many may have asked before any of them was noted.
    if await _this_hour(session, principal, _UNSEEN) > UNSEEN_AN_HOUR:
        raise TooManyUnseen(limit=UNSEEN_AN_HOUR)


async def _save(session: AsyncSession, principal: Principal, resident: Resident) -> None:
    unit, index = resident.unit, resident.id_number_index
    try:
        await session.flush()
    except IntegrityError as error:
        if index is not None and "uq_resident_id_number" in str(error.orig):
            raise duplicate(principal, unit, [index]) from None
        raise
