"""Photos and files of tickets that came since the last look, kept with the log: none is missing at any time in it."""

from datetime import datetime, timedelta
from typing import Final

import asyncpg

from linli_cli.archive import files
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Lock
from linli_cli.archive.stores import connected
from linli_cli.backup.files import send
from linli_cli.backup.take import Source
from linli_cli.console import Trouble
from linli_cli.district.contents import MARK

_BEFORE: Final = timedelta(hours=1)
"""A file's id is older than its row, by half an hour at most; and clocks differ."""
_TAKEN_IN: Final = "SELECT DISTINCT district FROM inbox WHERE consumer = $1 AND received_at >= $2"


class NewFiles:
    """Keeps what is new on one server."""

    def __init__(self, source: Source, place: Place, lock: Lock, store: Place) -> None:
        self._url = source.services["tickets"]
        self._place = place
        self._lock = lock
        self._store = store
        self._kept: set[str] = set()

    async def keep(self, since: datetime) -> None:
        """Keep the files of all rows that were committed after a time, until now.

        Raises:
            Trouble: when the content of one is nowhere: then what is kept is not whole.
        """
        async with connected(self._url) as connection:
            found = await self._new(connection, since)
            sent = send(self._place, self._lock, self._store, [one for one in found if one.name not in self._kept])
            nowhere = {one.name for one in sent if not one.kept}
            # What was removed meanwhile is missed by nobody.
            lost = [one.name for one in await self._new(connection, since) if one.name in nowhere] if nowhere else []
        self._kept = {one.name for one in found} - nowhere
        if lost:
            raise Trouble(
                f"Files that rows speak of are nowhere: {', '.join(lost)}.",
                f"附件内容不存在：{'、'.join(lost)}。",
            )

    async def _new(self, connection: asyncpg.Connection, since: datetime) -> list[files.Object]:
        time = since - _BEFORE
        found = await files.begun_since(connection, time)
        for (district,) in await connection.fetch(_TAKEN_IN, MARK, time):  # with files that are older
            found += await files.of_district(connection, district)
        return found
