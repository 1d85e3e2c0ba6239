"""Photos and files of tickets (附件): which objects rows speak of, and whether they are there.

There may be millions, so they come folder by folder, a 256th of a district's at a time. What no row speaks of was given
up while it came, or was removed: a clock of tickets deletes it, and nobody misses it.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from linli_cli.archive.places import Place
from linli_cli.archive.stores import Stores, connected

FILES: Final = ("tickets", "LINLI_FILES")
"""What the objects are called where rows and messages are counted by service and name."""
_THERE: Final = "removed_at IS NULL"
# It is kept by the server once the statement has ended, so no transaction is open while files are sent for hours.
_ROWS: Final = """
DECLARE spoken_of CURSOR WITH HOLD FOR
SELECT district, id, size, width IS NOT NULL AS picture FROM ticket_file
WHERE {} ORDER BY district, right(id::text, 2), id"""
_FETCH: Final = "FETCH 10000 FROM spoken_of"


@dataclass(frozen=True, slots=True)
class Object:
    """An object that a row speaks of.

    Attributes:
        name: in the store of files.
        size: in bytes; None for a thumbnail, of which the row does not say it.
    """

    name: str
    size: int | None

    @property
    def folder(self) -> str:
        """Where it lies."""
        return self.name.rpartition("/")[0]

    def is_as_large(self, size: int) -> bool:
        """Tell whether its size may be this one."""
        return self.size in {None, size}


async def of_all(stores: Stores, since: datetime | None = None) -> AsyncIterator[list[Object]]:
    """Give the objects that the rows of all districts speak of, folder by folder.

    Args:
        stores: of the platform.
        since: also list those that were removed after this time.
    """
    for url in stores.everywhere("tickets"):
        async with connected(url) as connection:
            which, values = (f"{_THERE} OR removed_at >= $1", (since,)) if since else (_THERE, ())
            async for some in _spoken_of(connection, which, *values):
                yield some


def of_district(connection: asyncpg.Connection, district: int) -> AsyncIterator[list[Object]]:
    """Give the objects that a district's rows speak of, folder by folder."""
    return _spoken_of(connection, f"{_THERE} AND district = $1", district)


def begun_since(connection: asyncpg.Connection, time: datetime) -> AsyncIterator[list[Object]]:
    """Give the objects that rows speak of and that began to come after a time, which is in their ids (UUID v7)."""
    return _spoken_of(connection, f"{_THERE} AND id >= $1", UUID(int=int(time.timestamp() * 1000) << 80))


async def _spoken_of(connection: asyncpg.Connection, which: str, *values: object) -> AsyncIterator[list[Object]]:
    from tickets.files import THUMBNAIL  # noqa: PLC0415 slow to load
    from tickets.models.files import object_name  # noqa: PLC0415 as above

    await connection.execute(_ROWS.format(which), *values)
    some: list[Object] = []
    while rows := await connection.fetch(_FETCH):
        for row in rows:
            one = Object(object_name(row["district"], row["id"]), row["size"])
            if some and some[0].folder != one.folder:
                yield some
                some = []
            some.append(one)
            if row["picture"]:
                some.append(Object(one.name + THUMBNAIL, None))
    if some:
        yield some
    await connection.execute("CLOSE spoken_of")


def present(store: Place, some: list[Object]) -> dict[str, int]:
    """Give the sizes of those objects of a folder that are in the store of files, as large as their rows say.

    Args:
        store: of files.
        some: of one folder.
    """
    sizes = {one.name: one.size for one in store.listing(some[0].folder)}
    return {one.name: sizes[one.name] for one in some if one.name in sizes and one.is_as_large(sizes[one.name])}


def absent(store: Place, some: list[Object]) -> list[str]:
    """Name those objects of a folder that are not."""
    there = present(store, some)
    return [one.name for one in some if one.name not in there]


async def still(spoken_of: AsyncIterator[list[Object]], names: Iterable[str]) -> list[str]:
    """Name those that rows still speak of: what was removed meanwhile is missed by nobody."""
    wanted = set(names)
    return [one.name async for some in spoken_of for one in some if one.name in wanted] if wanted else []
