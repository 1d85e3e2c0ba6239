"""Photos and files of tickets that came since the last look, kept with the log: none is missing at any time in it."""

from collections.abc import AsyncIterator
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
        kept, nowhere = set[str](), set[str]()
        async with connected(self._url) as connection:
            async for some in self._new(connection, since):
                if fresh := [one for one in some if one.name not in self._kept]:
                    nowhere.update(
                        one.name for one in send(self._place, self._lock, self._store, fresh) if not one.kept
                    )
                kept.update(one.name for one in some)
            lost = await files.still(self._new(connection, since), nowhere)
        self._kept = kept - nowhere
        if lost:
            raise Trouble(
                f"Files that rows speak of are nowhere: {', '.join(lost)}.",
                f"附件内容不存在：{'、'.join(lost)}。",
            )

    async def _new(self, connection: asyncpg.Connection, since: datetime) -> AsyncIterator[list[files.Object]]:
        time = since - _BEFORE
        async for some in files.begun_since(connection, time):
            yield some
        for (district,) in await connection.fetch(_TAKEN_IN, MARK, time):  # with files that are older
            async for some in files.of_district(connection, district):
                yield some
