"""`linli district remove`: nothing of a district is left, and nothing else is touched."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import asyncpg
from nats.js import JetStreamContext

from linli_cli.archive import files
from linli_cli.archive.order import consumers_first
from linli_cli.archive.stores import Stores, connected
from linli_cli.archive.tables import PASSING, tables_of
from linli_cli.console import Trouble
from linli_cli.district.contents import Contents
from linli_cli.stack.streams import subscriptions

STREAMS = "broker"
_PAUSE = 1.0
_ROUNDS = 60
_ATTEMPTS = 3
_QUIET = 2
"""So many sweeps in a row that find nothing end the sweeping."""

Removed = Counter[tuple[str, str]]
"""Rows by service and table, objects by `files.FILES`, and messages by `broker` and stream."""


async def changed_since(stores: Stores, contents: Contents) -> list[str]:
    """Name what holds something else than an export does, tables and files; what is empty was removed before."""
    header = contents.header
    found = []
    for service, summary in contents.services.items():
        async with connected(stores.url(service, header.district)) as connection:
            for table in await tables_of(connection):
                exported = summary.tables.get(table.name)
                if table.name in PASSING or not await table.count(connection, header.district):
                    continue
                now = await table.fingerprint(connection, header.district)
                if exported is None or now != exported.fingerprint:
                    found.append(f"{service}.{table.name}")
    async with connected(stores.url("tickets", header.district)) as connection:
        there = [files.present(stores.files, some) async for some in files.of_district(connection, header.district)]
    # An object is written once and never changed: so many, so large, of the same rows, are the same.
    count, size = sum(map(len, there)), sum(sum(sizes.values()) for sizes in there)
    if there and (count, size) != (contents.files.count, contents.files.size):
        found.append(".".join(files.FILES))
    return found


async def remove(stores: Stores, district: int, removed: Removed) -> None:
    """Remove a district, and again until nothing is found: events and files may be on their way.

    The directory comes first, so that nobody gets a token any more; then those who tell, then those who listen; then
    files, as a row is never without its content.

    Args:
        stores: of the platform.
        district: 6 digits.
        removed: counts what was removed.

    Raises:
        Trouble: when something keeps coming.
    """
    quiet = 0
    for _ in range(_ROUNDS):
        found = await _sweep(stores, district)
        removed.update(found)
        quiet = 0 if found.total() else quiet + 1
        if quiet == _QUIET:
            return
        await asyncio.sleep(_PAUSE)
    raise Trouble(
        f"Rows or messages of {district} keep coming: {_names(found)}.",
        f"区 {district} 的数据仍不断出现：{_names(found)}。",
        hint="Somebody works in the district; run the command again later.  该区仍在使用，请稍后重试。",
    )


async def what_is_left(stores: Stores, district: int) -> Removed:
    """Count everything of a district, on every database server and in every stream; with zeros, as a proof."""
    left: Removed = Counter()
    for service in _order():
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                for table in await tables_of(connection):
                    left[service, table.name] += await table.count(connection, district)
    left[files.FILES] += len(stores.files.names(str(district)))
    async with stores.jetstream() as js:
        for stream, messages in (await _messages(js, district)).items():
            left[STREAMS, stream] += messages
    return left


def _order() -> list[str]:
    return consumers_first(subscriptions())[::-1]


async def _sweep(stores: Stores, district: int) -> Removed:
    found: Removed = Counter()
    for service in _order():
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                for table, rows in (await _delete(connection, district)).items():
                    found[service, table] += rows
    found[files.FILES] += stores.files.clear(str(district))
    async with stores.jetstream() as js:
        for stream, messages in (await _messages(js, district)).items():
            if messages:
                await js.purge_stream(stream, subject=_subjects(district))
                found[STREAMS, stream] += messages
    return found


async def _delete(connection: asyncpg.Connection, district: int) -> Mapping[str, int]:
    """Delete a district's rows from one database, all or none.

    Raises:
        Trouble: when others keep the rows locked.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with connection.transaction():
                # Ledgers and audits refuse it, and references would ask for an order: the whole district goes.
                await connection.execute("SET LOCAL session_replication_role = replica")
                return {table.name: await table.delete(connection, district) for table in await tables_of(connection)}
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if attempt == _ATTEMPTS:
                raise Trouble(f"Rows of {district} are locked: {error}.", f"区 {district} 的数据被锁定。") from error
    return {}


async def _messages(js: JetStreamContext, district: int) -> dict[str, int]:
    found = {}
    for info in await js.streams_info():
        name = str(info.config.name)
        state = (await js.stream_info(name, subjects_filter=_subjects(district))).state
        found[name] = sum((state.subjects or {}).values())
    return found


def _subjects(district: int) -> str:
    return f"linli.*.{district}.>"


def _names(found: Removed) -> str:
    return ", ".join(f"{service}.{name}" for (service, name), count in found.items() if count)
