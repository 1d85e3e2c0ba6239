"""`linli backup`: every database server's files, the log that makes them whole, and the secrets, in one archive.

The photos and files of tickets lie beside it, each by itself.
"""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final, cast
from uuid import uuid4

import asyncpg
from rich.progress import DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from linli_cli.archive.places import Place
from linli_cli.archive.seal import Lock
from linli_cli.archive.stores import Stores, connected
from linli_cli.archive.tables import PASSING
from linli_cli.archive.tape import TapeWriter
from linli_cli.backup import base, contents, files, reached
from linli_cli.backup.contents import PRIMARY, Receipt, Server
from linli_cli.console import Trouble, err, step
from linli_cli.home import SERVICES, Home

PART: Final = "tar"
_CHUNK: Final = 4 * 2**20
# Partitions count for the table that they are parts of.
_TABLES: Final = """
SELECT c.relname::text FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"""


@dataclass(frozen=True)
class Source:
    """One database server.

    Attributes:
        name: `primary`, or its `host:port`.
        url: its superuser's.
        services: addresses of the services' databases on it.
    """

    name: str
    url: str
    services: Mapping[str, str]


def sources(stores: Stores) -> list[Source]:
    """List the platform's database servers."""
    names = [server or PRIMARY for server in stores.shards.servers]
    found: list[Source] = []
    for index, (name, url) in enumerate(zip(names, stores.everywhere("postgres"), strict=True)):
        services = {service: urls for service in SERVICES if (urls := stores.everywhere(service)[index : index + 1])}
        found.append(Source(name, url, {service: urls[0] for service, urls in services.items()}))
    return found


async def take(home: Home, stores: Stores, place: Place, lock: Lock, *, secrets: bool) -> Receipt:
    """Take a backup while the platform is in use.

    Raises:
        Trouble: when a server or the place can't be reached, the place is a copy's, or what was written is not what is
            read there again.
    """
    began = datetime.now(UTC)
    name = began.strftime("linli-%Y%m%dT%H%M%SZ")
    if place.has(contents.archive_of(name)):
        raise Trouble("Another backup was begun this very second.", "同一秒内已有备份开始。")
    contents.sweep(place)
    for one in sources(stores):
        async with connected(one.url) as connection:
            reached.require_alone(place, *await reached.who(connection))
    servers: dict[str, Server] = {}
    with (
        place.writing(contents.archive_of(name)) as target,
        lock.sealing(cast(BinaryIO, target)) as plain,
        TapeWriter(plain) as tape,
    ):
        tape.document("header", contents.header(name))
        tape.document("secrets", _secrets(home) if secrets else {})
        for one in sources(stores):
            servers[one.name] = await _server(tape, one)
        tape.document("end", {one: facts.model_dump() for one, facts in servers.items()})
        # Content is there before its row is, so whatever the databases speak of can be kept now.
        kept = await files.take(stores, place, lock, name, began)
    receipt = Receipt(
        name=name,
        version=os.environ.get("LINLI_TAG") or version("linli"),  # an image knows only what it is run as
        started_at=began,
        finished_at=datetime.now(UTC),
        size=target.size,
        sha256=target.sha256,
        secrets=secrets,
        servers=servers,
        files=kept,
    )
    with step("What was written is what is read there again", "回读校验"):
        compare(place, receipt)
    contents.write(place, receipt)
    return receipt


def _secrets(home: Home) -> dict[str, str]:
    found = {file.name: file.read_text() for file in sorted(home.secrets.iterdir()) if _is_secret(file)}
    if "master_key" not in found:
        raise Trouble(
            f"There is no master_key in {home.secrets}: without it nothing personal could be read.",
            f"{home.secrets} 中没有主密钥 master_key。",
            hint="--without-secrets, if you keep them elsewhere.  如另行保管，可加 --without-secrets。",
        )
    return found


def _is_secret(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.suffix != ".draft"


async def _server(tape: TapeWriter, source: Source) -> Server:
    async with connected(source.url) as connection, _log_kept(connection):
        system = await connection.fetchval("SELECT system_identifier::text FROM pg_control_system()")
        size = await connection.fetchval("SELECT sum(pg_database_size(oid)) FROM pg_database")
        before = await count(source.services)
        columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
        with Progress(*columns, console=err) as progress, tape.stream(f"{source.name}/files", PART) as parts:
            task = progress.add_task(f"PostgreSQL {source.name}", total=int(size))

            def passing() -> Iterator[bytes]:
                for chunk in base.dump(source.url):
                    parts.write(chunk)
                    progress.advance(task, len(chunk))
                    yield chunk

            # Held against its manifest on its way into the archive.
            pieces, end = await asyncio.to_thread(base.check, io.BufferedReader(base.Chunks(passing()), _CHUNK))
        after = await count(source.services)
    rows = {table: (low, after.get(table, low)) for table, low in before.items()}
    return Server(system=system, pieces=pieces, rows=rows, ended_at=end)


@asynccontextmanager
async def _log_kept(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Have the server keep its log while its files are read; by itself it would throw away what it needs no more."""
    slot = f"linli_backup_{uuid4().hex}"
    await connection.execute("SELECT pg_create_physical_replication_slot($1, true, true)", slot)
    yield  # it is temporary: it ends with the connection


async def count(services: Mapping[str, str]) -> dict[str, int]:
    """Count the rows of all tables but those that come and go by themselves.

    Args:
        services: addresses of their databases.
    """
    found: dict[str, int] = {}
    for service, url in services.items():
        async with connected(url) as connection:
            for (table,) in await connection.fetch(_TABLES):
                if table not in PASSING:
                    quoted = table.replace('"', '""')
                    found[f"{service}.{table}"] = await connection.fetchval(f'SELECT count(*) FROM "{quoted}"')  # noqa: S608 from the catalogue
    return found


def compare(place: Place, receipt: Receipt) -> None:
    """Read an archive again.

    Raises:
        Trouble: when it is not what was written.
    """
    digest = hashlib.sha256()
    with place.reading(receipt.archive) as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    if digest.hexdigest() != receipt.sha256:
        raise Trouble(
            f"{receipt.archive} is not what was written there; don't rely on it.",
            f"{receipt.archive} 与写入内容不一致，不可使用。",
        )


def prune(place: Place, keep: int, newest: Receipt) -> list[Receipt]:
    """Delete all backups from before the platform's newest, and what of the log and of files only they needed.

    Args:
        place: of backups.
        keep: how many of the platform's; those of a copy count for none.
        newest: the one that was taken just now.

    Returns:
        The backups that were deleted.

    Raises:
        Trouble: when a receipt is broken: nobody knows what that backup needs; or the newest is a copy's.
    """
    from linli_cli.backup import segments, wal  # noqa: PLC0415 only when asked for

    if trouble := contents.unreadable(place):
        raise trouble
    own = contents.own(place)
    if newest not in own:
        raise Trouble(
            f"{newest.name} is of a copy of the platform whose log is kept there: no older backup is deleted.",
            f"{newest.name} 是平台副本的备份，未删除任何旧备份。",
            hint="A drill's backups go elsewhere: another LINLI_BACKUP_TO.  演练请使用其他备份位置。",
        )
    since = own[-keep:][0].finished_at
    there = contents.receipts(place)
    old, kept = [one for one in there if one.finished_at < since], [one for one in there if one.finished_at >= since]
    for receipt in old:
        contents.delete(place, receipt)
    for system in {server.system for receipt in kept for server in receipt.servers.values()}:
        needed = min(
            segments.number(server.pieces[0])
            for receipt in kept
            for server in receipt.servers.values()
            if server.system == system
        )
        for piece in wal.pieces(place, system):
            if segments.number(piece) < needed:
                place.delete(wal.path(system, piece))
    files.prune(place, kept)
    return old
