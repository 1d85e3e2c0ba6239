"""`linli district import`: a district out of an archive, each service whole or not at all."""

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, BinaryIO, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from linli_cli.archive import files
from linli_cli.archive.order import DIRECTORY
from linli_cli.archive.stores import Stores, connected
from linli_cli.archive.tables import PASSING, Table, broken_references, revision_of, tables_of
from linli_cli.archive.tape import TapeReader, damaged
from linli_cli.console import Trouble, step
from linli_cli.district import datakeys, retell
from linli_cli.district.contents import MARK, Contents, Digested, Header, Summary, read_files, read_header, read_summary
from linli_cli.stack.streams import subscriptions

if TYPE_CHECKING:
    from linli.inbox import Subscriptions

_LOCK: Final = 7105637
_CLASH: Final = """
SELECT EXISTS (
    SELECT FROM provider mine JOIN provider other ON (mine.issuer, mine.audience) = (other.issuer, other.audience)
    WHERE mine.district = $1 AND other.district <> $1)"""


async def load(stores: Stores, source: BinaryIO) -> Contents:
    """Take a district in; run again after a failure, it goes on with the services that are missing.

    Files come first, so that content is there before its row is; then services in the order in which they were read,
    the directory last: until then nobody gets a token.

    Args:
        stores: of a platform without this district.
        source: the archive, decrypted.

    Returns:
        What the archive holds; as lost count those files that rows speak of and that are not here now.

    Raises:
        Trouble: when it is damaged, does not fit this platform, or the district is there.
    """
    tape = TapeReader(source)
    header = read_header(tape)
    done = await _fitting(stores, header)
    with step("Files", "附件"):
        kept = read_files(tape, header.district, stores.files.write if "tickets" not in done else lambda *_: None)
    listeners = subscriptions()
    summaries = {}
    for service in header.services:
        with step(service, "已导入" if service in done else header.name):
            if service in done:
                summaries[service] = _pass_over(tape, header, service)
            else:
                summaries[service] = await _Loading(stores, tape, header, service, listeners).run()
    tape.document("end")
    tape.end()
    for service, summary in summaries.items():
        if "audit" in summary.tables:
            await _verify_audit(stores.url(service, header.district), header.district)
    await _tell_states(stores, header.district)
    async with connected(stores.url("tickets", header.district)) as connection:
        spoken_of = files.of_district(connection, header.district)
        kept.lost = [name async for some in spoken_of for name in files.absent(stores.files, some)]
    return Contents(header, summaries, kept)


async def _fitting(stores: Stores, header: Header) -> set[str]:
    """Hold the archive against every database before anything is written; give the services that have it already.

    Raises:
        Trouble: when it does not fit, or rows of the district come from elsewhere.
    """
    done = set()
    others: list[str] = []
    taken: list[str] = []
    for service, part in header.services.items():
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                revision = await revision_of(connection)
                if revision != part.revision:
                    others.append(f"{service}: {part.revision} → {revision or '-'}")
                elif await _marked(connection, header):
                    done.add(service)
                elif rows := await _rows(connection, header.district):
                    taken.append(f"{service}: {rows}")
    if others:
        raise Trouble(
            f"The archive's tables have other revisions than this platform's: {', '.join(dict.fromkeys(others))}.",
            f"归档与本平台的数据库版本不一致：{'、'.join(dict.fromkeys(others))}。",
            hint="Bring both platforms to one version, then export again.  请先将两个平台升级到同一版本，再重新导出。",
        )
    if taken:
        raise Trouble(
            f"District {header.district} is here already ({', '.join(taken)} rows).",
            f"区 {header.district} 已在此平台（{'、'.join(taken)} 行）。",
            hint=f"linli district remove {header.district}",
        )
    return done


async def _marked(connection: asyncpg.Connection, header: Header) -> bool:
    query = "SELECT EXISTS (SELECT FROM inbox WHERE district = $1 AND consumer = $2 AND event_id = $3)"
    return bool(await connection.fetchval(query, header.district, MARK, header.id))


async def _rows(connection: asyncpg.Connection, district: int) -> int:
    return sum([await table.count(connection, district) for table in await tables_of(connection)])


class _Loading:
    """One service's part, loaded in one transaction."""

    def __init__(
        self, stores: Stores, tape: TapeReader, header: Header, service: str, listeners: "list[Subscriptions]"
    ) -> None:
        self._stores = stores
        self._tape = tape
        self._header = header
        self._district = header.district
        self._service = service
        self._listeners = listeners

    async def run(self) -> Summary:
        """Load it.

        Raises:
            Trouble: when what was loaded is not what was exported; nothing is kept then.
        """
        async with connected(self._stores.url(self._service, self._district)) as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", _LOCK, self._district)
            # Triggers would write the audit's chain and households' counts anew; references are checked below.
            await connection.execute("SET LOCAL session_replication_role = replica")
            tables = {table.name: table for table in await tables_of(connection)}
            if {name: list(table.columns) for name, table in tables.items()} != self._part:
                raise damaged()
            loaded: dict[str, tuple[int, Digested]] = {}
            for name in self._part:
                loaded[name] = await self._table(connection, tables[name])
            summary = read_summary(self._tape, self._service)
            await self._check(connection, tables, loaded, summary)
            await connection.execute(
                "DELETE FROM inbox WHERE district = $1 AND consumer = $2", self._district, MARK
            )  # of an earlier journey
            await connection.execute(
                "INSERT INTO inbox (district, consumer, event_id) VALUES ($1, $2, $3)",
                *(self._district, MARK, self._header.id),
            )
        return summary

    @property
    def _part(self) -> dict[str, list[str]]:
        return self._header.services[self._service].tables

    async def _table(self, connection: asyncpg.Connection, table: Table) -> tuple[int, Digested]:
        chunks = Digested(self._tape.stream(f"{self._service}/{table.name}"))
        if table.name == datakeys.NAME:
            rows = await _copy(
                connection, table.name, table, [datakeys.wrapped(chunks, self._district, self._stores.master)]
            )
        elif table.name == retell.LOG:
            await retell.stage(connection)
            rows = await _copy(connection, retell.STAGED, table, chunks)
            await retell.tell_again(connection, self._stores, self._header, self._service, self._listeners)
        else:
            rows = await _copy(connection, table.name, table, chunks)
        if table.name == "outbox":
            await retell.rename(connection, self._district)
        return rows, chunks

    async def _check(
        self,
        connection: asyncpg.Connection,
        tables: dict[str, Table],
        loaded: dict[str, tuple[int, Digested]],
        summary: Summary,
    ) -> None:
        if summary.tables.keys() != loaded.keys():
            raise damaged()
        for name, (rows, chunks) in loaded.items():
            wanted = summary.tables[name]
            chunks.check(wanted.sha256)
            same = rows == wanted.rows
            if same and name not in PASSING:
                same = await tables[name].count(connection, self._district) == wanted.rows
                same = same and await tables[name].fingerprint(connection, self._district) == wanted.fingerprint
            if not same:
                raise Trouble(
                    f"{self._service}.{name} is not what was exported; nothing of {self._service} was kept.",
                    f"{self._service}.{name} 与导出内容不一致，{self._service} 的数据未保留。",
                )
        if self._service == DIRECTORY and await connection.fetchval(_CLASH, self._district):
            raise Trouble(
                "Another district here has the same OIDC provider and audience: nobody could tell their people apart.",
                "本平台已有其他区使用相同的统一身份认证与受众，无法区分人员。",
            )
        if broken := await broken_references(connection, self._district):
            raise Trouble(
                f"Rows of {self._service} refer to what is not there ({', '.join(broken)}); nothing was kept.",
                f"{self._service} 的数据引用缺失（{'、'.join(broken)}），未保留。",
            )


def _pass_over(tape: TapeReader, header: Header, service: str) -> Summary:
    for table in header.services[service].tables:
        for _ in tape.stream(f"{service}/{table}"):
            pass
    return read_summary(tape, service)


async def _copy(connection: asyncpg.Connection, name: str, table: Table, chunks: Iterable[bytes]) -> int:
    async def parts() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    try:
        status = await connection.copy_to_table(
            name, source=parts(), columns=list(table.columns), format="csv", header=True
        )
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise damaged() from error
    return int(status.split()[-1])


async def _verify_audit(url: str, district: int) -> None:
    """Follow the audit's chain: as it arrived, and as the database that will go on with it sees it.

    Raises:
        Trouble: when it was tampered with before it was exported.
    """
    from linli.audit import AuditBroken, verify  # noqa: PLC0415 slow to load
    from linli.db import async_url  # noqa: PLC0415 as above

    engine = create_async_engine(async_url(url))
    try:
        async with engine.connect() as connection:
            await verify(connection, district)
    except AuditBroken as error:
        raise Trouble(f"The audit log does not hold: {error}", "审计日志校验未通过。") from error
    finally:
        await engine.dispose()


async def _tell_states(stores: Stores, district: int) -> None:
    """Tell how units, buildings and assignments are, for services that come later and replay the stream of states."""
    from directory.states import tell_all  # noqa: PLC0415 as above
    from linli.db import async_url  # noqa: PLC0415 as above

    engine = create_async_engine(async_url(stores.url("directory", district)))
    try:
        async with AsyncSession(engine) as session, session.begin():
            await tell_all(session, district)
    finally:
        await engine.dispose()
