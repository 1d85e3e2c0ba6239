"""What a district has laid down, its categories and its calendar: kept in memory, and never older than its last change.

Who works by them takes a shared lock and then looks which revision is in force, so that whoever changes the rules, and
moves the deadlines that follow from them, waits for those who work by the old ones.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli.direct import Database, Direct, fetch, fetchrow
from tickets.calendar import Calendar
from tickets.models.calendar import DistrictRules
from tickets.models.categories import Category, Kind, kind

_KEPT: Final = 256
"""Districts whose rules are kept in memory at the most."""
_LOCK: Final = 7105641
"""First key of the lock on a district's rules, its own code the second; whoever works by them shares it."""
_SHARED: Final = f"SELECT pg_advisory_xact_lock_shared({_LOCK}, $1)"
_ALONE: Final = text(f"SELECT pg_advisory_xact_lock({_LOCK}, :district)")
_REVISION: Final = "SELECT revision FROM district_rules WHERE district = $1"
_DAYS: Final = "SELECT day, working FROM work_calendar WHERE district = $1"
# The form as text: the driver and SQLAlchemy read JSON in different ways.
_COLUMNS: Final = ", ".join(
    "form::text AS form" if column.key == "form" else column.key for column in Category.__table__.c
)
_CATEGORIES: Final = f"SELECT {_COLUMNS} FROM category WHERE district = $1"  # noqa: S608 of constants


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
_known: Final[OrderedDict[int, tuple[UUID | None, Rules]]] = OrderedDict()


def known_rules(district: int) -> tuple[UUID | None, Rules]:
    """Give a revision of a district's rules, and the rules: those that were in force when they were last read."""
    return _known.get(district, (None, _NONE))


async def hold_rules(database: Database, district: int) -> None:
    """Have nobody change a district's rules until this transaction ends; whoever does so just now is waited for."""
    if isinstance(database, Direct):
        await database.lock_shared(_LOCK, district)
    else:
        await fetchrow(database, _SHARED, district)


async def rules_of(database: Database, district: int) -> Rules:
    """Give the rules that are in force in a district until this transaction ends."""
    # Two statements, as the second must see what was changed by whoever the first has waited for.
    await hold_rules(database, district)
    row = await fetchrow(database, _REVISION, district)
    revision = row["revision"] if row else None
    if district not in _known or known_rules(district)[0] != revision:
        _known[district] = revision, _NONE if revision is None else await _read(database, district)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    _known.move_to_end(district)
    return _known[district][1]


async def _read(database: Database, district: int) -> Rules:
    days = await fetch(database, _DAYS, district)
    rows = await fetch(database, _CATEGORIES, district)
    described = {
        row["code"]: Category(**{**row, "form": json.loads(row["form"]) if row["form"] else None}) for row in rows
    }
    return Rules(Calendar({row["day"]: row["working"] for row in days}), described)


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
