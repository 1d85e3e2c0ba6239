"""Photos and files of tickets (附件): which objects rows speak of, and whether they are there.

What no row speaks of was given up while it came, or was removed: a clock of tickets deletes it, and nobody misses it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID

import asyncpg

from linli_cli.archive.places import Place
from linli_cli.archive.stores import Stores, connected

FILES: Final = ("tickets", "LINLI_FILES")
"""What the objects are called where rows and messages are counted by service and name."""
_THERE: Final = "removed_at IS NULL"
_ROWS: Final = """
SELECT district, id, size, width IS NOT NULL AS picture FROM ticket_file
WHERE {} ORDER BY district, right(id::text, 2), id"""


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
        """Where it lies, with a 256th of its district's."""
        return self.name.rpartition("/")[0]

    def is_as_large(self, size: int) -> bool:
        """Tell whether its size may be this one."""
        return self.size in {None, size}


async def of_district(connection: asyncpg.Connection, district: int) -> list[Object]:
    """List the objects that a district's rows speak of."""
    return await _spoken_of(connection, f"{_THERE} AND district = $1", district)


async def begun_since(connection: asyncpg.Connection, time: datetime) -> list[Object]:
    """List the objects that rows speak of and that began to come after a time, which is in their ids (UUID v7)."""
    return await _spoken_of(connection, f"{_THERE} AND id >= $1", UUID(int=int(time.timestamp() * 1000) << 80))


async def of_all(stores: Stores, since: datetime | None = None) -> list[Object]:
    """List the objects that the rows of all districts speak of.

    Args:
        stores: of the platform.
        since: also list those that were removed after this time.
    """
    found = []
    for url in stores.everywhere("tickets"):
        async with connected(url) as connection:
            if since:
                found += await _spoken_of(connection, f"{_THERE} OR removed_at >= $1", since)
            else:
                found += await _spoken_of(connection, _THERE)
    return found


async def _spoken_of(connection: asyncpg.Connection, which: str, *values: object) -> list[Object]:
    from tickets.files import THUMBNAIL  # noqa: PLC0415 slow to load
    from tickets.models.files import object_name  # noqa: PLC0415 as above

    found = []
    for row in await connection.fetch(_ROWS.format(which), *values):
        name = object_name(row["district"], row["id"])
        found.append(Object(name, row["size"]))
        if row["picture"]:
            found.append(Object(name + THUMBNAIL, None))
    return found


def by_folder(objects: Iterable[Object]) -> Iterator[tuple[str, list[Object]]]:
    """Give objects, as they are listed here, by their folders: so many as can be looked for at once."""
    for folder, some in groupby(objects, lambda one: one.folder):
        yield folder, list(some)


def present(store: Place, objects: Iterable[Object]) -> Iterator[tuple[Object, int]]:
    """Give those objects that are in the store of files, as large as their rows say, with their sizes."""
    for folder, some in by_folder(objects):
        sizes = {one.name: one.size for one in store.listing(folder)}
        for one in some:
            if one.name in sizes and one.is_as_large(sizes[one.name]):
                yield one, sizes[one.name]


def absent(store: Place, objects: list[Object]) -> list[str]:
    """Name those objects that are not."""
    there = {one.name for one, _ in present(store, objects)}
    return [one.name for one in objects if one.name not in there]
