"""`linli district export`: everything of one district, as it is at one moment, in one encrypted file."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import BinaryIO
from uuid import uuid4

import asyncpg

from linli_cli.archive import files
from linli_cli.archive.order import consumers_first
from linli_cli.archive.places import at_once
from linli_cli.archive.snapshots import snapshots
from linli_cli.archive.stores import Stores, connected
from linli_cli.archive.tables import PASSING, Table, revision_of, tables_of
from linli_cli.archive.tape import PartsWriter, TapeWriter
from linli_cli.console import Trouble, step
from linli_cli.district import datakeys
from linli_cli.district.contents import FILES, Contents, FilesSummary, Header, ServiceHeader, Summary, TableSummary
from linli_cli.stack.streams import subscriptions


async def export(stores: Stores, district: int, target: BinaryIO) -> Contents:
    """Write a district, while the platform and the district itself are in use.

    Args:
        stores: of the platform.
        district: 6 digits.
        target: what is written there must be encrypted: names, and the keys of what is encrypted, stand in plain.

    Raises:
        Trouble: when there is no such district.
    """
    urls = {service: stores.url(service, district) for service in consumers_first(subscriptions())}
    async with snapshots(urls) as databases:
        tables = {service: await tables_of(connection) for service, connection in databases.items()}
        header = await _header(databases, tables, district)
        summaries = {}
        with TapeWriter(target) as tape:
            tape.document("header", header.model_dump(mode="json"))
            with step("Files", "附件"):
                kept = await _write_files(tape, stores, databases["tickets"], district)
            for service, connection in databases.items():
                with step(service, header.name):
                    written = {
                        table.name: await _write(tape, service, table, connection, stores, district)
                        for table in tables[service]
                    }
                summaries[service] = Summary(tables=written)
                tape.document(f"{service}/summary", summaries[service].model_dump())
            tape.document("end", {"services": len(summaries)})
    return Contents(header, summaries, kept)


async def _header(
    databases: Mapping[str, asyncpg.Connection], tables: Mapping[str, list[Table]], district: int
) -> Header:
    query = "SELECT name FROM unit WHERE district = $1 AND unit = $2"
    name = await databases["directory"].fetchval(query, district, district * 10**12)
    if name is None:
        raise Trouble(f"There is no district {district} here.", f"此平台没有区 {district}。")
    services = {
        service: ServiceHeader(
            revision=await revision_of(connection),
            tables={table.name: list(table.columns) for table in tables[service]},
        )
        for service, connection in databases.items()
    }
    return Header(id=uuid4(), district=district, name=name, taken_at=datetime.now(UTC), services=services)


async def _write_files(tape: TapeWriter, stores: Stores, connection: asyncpg.Connection, district: int) -> FilesSummary:
    """Write what rows speak of: before them, so that it is there before they are where it is taken in."""
    count = size = 0
    nowhere = set()
    async for some in files.of_district(connection, district):
        for one, content in zip(some, at_once(stores.files.find, [one.name for one in some]), strict=True):
            if content is None or not one.is_as_large(len(content)):
                nowhere.add(one.name)
            else:
                tape.file(f"{FILES}/{one.name}.{hashlib.sha256(content).hexdigest()}", content)
                count, size = count + 1, size + len(content)
    async with connected(stores.url("tickets", district)) as now:
        lost = await files.still(files.of_district(now, district), nowhere)
    summary = FilesSummary(count=count, size=size, lost=lost)
    tape.document(FILES, summary.model_dump())
    return summary


async def _write(  # noqa: PLR0913, PLR0917 where from and where to
    tape: TapeWriter, service: str, table: Table, connection: asyncpg.Connection, stores: Stores, district: int
) -> TableSummary:
    digest = hashlib.sha256()
    with tape.stream(f"{service}/{table.name}") as parts:
        if table.name == datakeys.NAME:
            content = await datakeys.write(connection, table, district, stores.master)
            digest.update(content)
            parts.write(content)
        else:
            await _copy(connection, table, district, parts, digest)
    fingerprint = None if table.name in PASSING else await table.fingerprint(connection, district)
    rows = await table.count(connection, district)
    return TableSummary(rows=rows, sha256=digest.hexdigest(), fingerprint=fingerprint)


async def _copy(
    connection: asyncpg.Connection, table: Table, district: int, parts: PartsWriter, digest: "hashlib._Hash"
) -> None:
    async def take(data: bytes) -> None:
        digest.update(data)
        parts.write(data)

    await connection.copy_from_query(table.rows(district), output=take, format="csv", header=True)
