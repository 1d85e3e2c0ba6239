"""Where districts' rows are, looked at before LINLI_SHARDS takes effect: a map that would hide some is refused.

Services look for a district on its server alone. If its rows were on another one, it would seem empty, and what was
written meanwhile would have to be sorted out by hand.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from linli.shards import Server, Shards
from linli_cli.console import Trouble
from linli_cli.home import SERVICES

SHARDED: Final = tuple(service for service in SERVICES if service != "directory")
"""Services whose districts may live elsewhere: the directory is the catalogue of all, and in one place."""
_WAIT: Final = 60.0
_TABLES: Final = """
    SELECT format('%I', relname) FROM pg_class
    JOIN pg_index ON indrelid = pg_class.oid AND indisprimary
    JOIN pg_attribute ON attrelid = pg_class.oid AND attnum = indkey[0] AND attname = 'district'
    WHERE relnamespace = 'public'::regnamespace"""
"""Tables whose key begins with the district: all but the outbox and the log of what went out of it."""
_DISTRICTS: Final = """
    WITH RECURSIVE found AS (
        SELECT min(district) AS district FROM {table} WHERE district > 0
        UNION ALL
        SELECT (SELECT min(district) FROM {table} WHERE district > found.district) FROM found WHERE district IS NOT NULL
    ) SELECT district FROM found WHERE district IS NOT NULL"""
"""One look into the index for each district, however many rows it has."""
_REMEMBERED: Final = "SELECT current_setting('linli.shards', true)"
_REMEMBER: Final = "SELECT format('ALTER DATABASE %I SET linli.shards = %L', current_database(), $1::text)"


async def check(superuser_url: str, shards: Shards) -> None:
    """Look for districts that are elsewhere than the map says.

    Args:
        superuser_url: of the services' own server, any database.
        shards: the map that is to take effect.

    Raises:
        Trouble: when there are any, or a server does not answer within a minute.
    """
    async with _connected(superuser_url, None) as home:
        before = Shards.parse(await home.fetchval(_REMEMBERED) or "")
    misplaced: defaultdict[tuple[int, Server], list[str]] = defaultdict(list)
    dropped = [address for address in before.addresses if address not in shards.addresses]
    for server in (*shards.servers, *dropped):
        for service in SHARDED:
            for district in await _districts(superuser_url, server, service):
                if server in dropped or shards.of(district) != server:
                    misplaced[district, server].append(service)
    if misplaced:
        raise _hidden(misplaced, shards)


async def remember(superuser_url: str, shards: Shards) -> None:
    """Keep the map beside the data, so that the next one can't forget a server that has some."""
    used = {address: districts for address in shards.addresses if (districts := shards.on(address))}
    async with _connected(superuser_url, None) as home:
        await home.execute(await home.fetchval(_REMEMBER, json.dumps(used)))


def _hidden(misplaced: dict[tuple[int, Server], list[str]], shards: Shards) -> Trouble:
    english, chinese = [], []
    for (district, server), services in sorted(misplaced.items(), key=str):
        there, wanted = server or "LINLI_DATABASE_URL", shards.of(district) or "LINLI_DATABASE_URL"
        names = ", ".join(services)
        english.append(f"district {district} has rows on {there} ({names}), but LINLI_SHARDS has it on {wanted}")
        chinese.append(f"区 {district} 在 {there} 上仍有数据（{names}），而 LINLI_SHARDS 指定 {wanted}")
    return Trouble(
        f"This LINLI_SHARDS would hide data: {'; '.join(english)}. Nothing was changed.",
        f"该 LINLI_SHARDS 会使数据不可见：{'；'.join(chinese)}。未作任何更改。",
        hint="Put the old map back; then export the district, remove it, set the new map, import it: docs/scaling.md",
    )


async def _districts(superuser_url: str, server: Server, service: str) -> set[int]:
    try:
        async with _connected(superuser_url, server, service) as connection:
            tables = [row[0] for row in await connection.fetch(_TABLES)]
            rows = [row for table in tables for row in await connection.fetch(_DISTRICTS.format(table=table))]
    except asyncpg.InvalidCatalogNameError:  # a new server
        return set()
    return {row["district"] for row in rows}


@asynccontextmanager
async def _connected(
    superuser_url: str, server: Server, database: str | None = None
) -> AsyncIterator[asyncpg.Connection]:
    connection = await _connect(Shards.at(superuser_url, server), server, database)
    try:
        yield connection
    finally:
        await connection.close()


async def _connect(url: str, server: Server, database: str | None) -> asyncpg.Connection:
    options = {"database": database} if database else {}
    try:
        async with asyncio.timeout(_WAIT):
            while True:
                try:
                    return await asyncpg.connect(url, timeout=10, command_timeout=60, **options)
                except (OSError, asyncpg.CannotConnectNowError):  # it may be starting beside us
                    await asyncio.sleep(1)
    except TimeoutError:
        there = server or Shards.address(url)
        raise Trouble(
            f"The database server {there} does not answer; all that LINLI_SHARDS names, or has named, are needed here.",
            f"数据库服务器 {there} 没有响应；此任务需要 LINLI_SHARDS 列出过的所有服务器。",
        ) from None
