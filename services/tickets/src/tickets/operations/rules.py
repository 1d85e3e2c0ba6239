"""What a district has laid down, its categories and its calendar: kept in memory, and never older than its last change.

A statement that each new ticket needs anyhow says which revision is in force. It also takes a shared lock, so that
whoever changes the rules, and moves the deadlines that follow from them, waits for those who work by the old ones.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.problems import UnknownUnit
from tickets.calendar import Calendar
from tickets.models.calendar import DistrictRules, WorkDay
from tickets.models.categories import Category, Kind, kind

_KEPT: Final = 256
"""Districts whose rules are kept in memory at the most."""
_LOCK: Final = 7105641
_SHARED: Final = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK}, :district)")
_ALONE: Final = text(f"SELECT pg_advisory_xact_lock({_LOCK}, :district)")
_NOW: Final = text(
    f"SELECT pg_try_advisory_xact_lock_shared({_LOCK}, :district) AS locked,"  # noqa: S608 of constants
    " (SELECT revision FROM district_rules WHERE district = :district) AS revision,"
    " EXISTS (SELECT 1 FROM known_unit WHERE district = :district AND unit = :unit AND active) AS known"
)


@dataclass(frozen=True)
class Rules:
    """What holds in a district.

    Attributes:
        calendar: when it works.
        described: its categories, by code.
    """

    calendar: Calendar = field(default_factory=Calendar)
    described: dict[str, Category] = field(default_factory=dict)
    _kinds: dict[str, Kind] = field(default_factory=dict)

    def kind(self, code: str) -> Kind:
        """Say what a ticket of a category is given."""
        if code not in self.described:
            return _undescribed(code)
        if code not in self._kinds:
            self._kinds[code] = kind(code, self.described)
        return self._kinds[code]


@lru_cache(maxsize=1000)
def _undescribed(code: str) -> Kind:
    return kind(code, {})


_NONE: Final = Rules()
_known: Final[OrderedDict[UUID, Rules]] = OrderedDict()


async def rules_of(session: AsyncSession, district: int) -> Rules:
    """Give the rules that are in force in a district until this transaction ends."""
    return (await _in_force(session, district, 0))[0]


async def rules_at(session: AsyncSession, unit: int) -> Rules:
    """Give the rules that are in force where something is reported.

    Raises:
        UnknownUnit: 422, for a unit that this service has not been told of, or that is no longer in use.
    """
    rules, known = await _in_force(session, units.district(unit), unit)
    if not known:
        raise UnknownUnit(unit=units.short(unit))
    return rules


async def _in_force(session: AsyncSession, district: int, unit: int) -> tuple[Rules, bool]:
    where = {"district": district, "unit": unit}
    now = (await session.execute(_NOW, where)).one()
    if not now.locked:  # They are being changed: what was read beside the lock may be what was.
        await session.execute(_SHARED, where)
        now = (await session.execute(_NOW, where)).one()
    if now.revision is None:
        return _NONE, now.known
    if now.revision not in _known:
        with session.no_autoflush:  # The caller may be in the middle of a change, which is one version of its row.
            _known[now.revision] = await _read(session, district)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    _known.move_to_end(now.revision)
    return _known[now.revision], now.known


async def _read(session: AsyncSession, district: int) -> Rules:
    days = await session.execute(select(WorkDay.day, WorkDay.working).where(WorkDay.district == district))
    categories = list(await session.scalars(select(Category).where(Category.district == district)))
    for category in categories:
        session.expunge(category)  # They outlive this session, and nobody changes them.
    return Rules(Calendar({row.day: row.working for row in days}), {category.code: category for category in categories})


async def lock_rules(session: AsyncSession, district: int) -> None:
    """Have nobody else work by a district's rules until this transaction ends."""
    await session.execute(_ALONE, {"district": district})


async def change_rules(session: AsyncSession, district: int) -> Rules:
    """Have what this transaction has changed of a district's rules come into force when it commits; gives the new ones.

    Args:
        session: an open transaction that has locked them.
        district: whose.
    """
    await session.flush()
    row = {"district": district, "unit": district * 10**12, "revision": uuid4()}
    statement = insert(DistrictRules).values(row)
    await session.execute(
        statement.on_conflict_do_update(index_elements=["district"], set_={"revision": statement.excluded.revision})
    )
    return await _read(session, district)
