"""The tables of a database that hold districts' rows, as the catalogue knows them."""

from dataclasses import dataclass
from typing import Final

import asyncpg

PASSING: Final = frozenset({"outbox", "event_log", "inbox", "idempotency_key", "spent_token", "timer"})
"""Tables whose rows come and go by themselves; the others change only when somebody changes something."""
SECRET: Final = {"data_key": "wrapped"}
"""A column that is encrypted with the platform's own master key, and so differs from platform to platform."""

# A partition is part of its parent; columns that the database fills by itself are filled by the next one too.
_TABLES: Final = """
SELECT c.relname AS name,
    array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '' AND a.attidentity = '') AS columns,
    (SELECT array_agg(k.attname::text ORDER BY array_position(i.indkey::smallint[], k.attnum))
     FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
     WHERE i.indrelid = c.oid AND i.indisprimary) AS key
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.oid HAVING bool_or(a.attname = 'district') ORDER BY c.relname"""
_FOREIGN_KEYS: Final = """
SELECT c.conname::text AS name, c.conrelid::regclass::text AS child, c.confrelid::regclass::text AS parent,
    (SELECT array_agg(a.attname::text ORDER BY array_position(c.conkey, a.attnum))
     FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)) AS ours,
    (SELECT array_agg(a.attname::text ORDER BY array_position(c.confkey, a.attnum))
     FROM pg_attribute a WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey)) AS theirs
FROM pg_constraint c
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.connamespace = 'public'::regnamespace ORDER BY c.conname"""


@dataclass(frozen=True)
class Table:
    """A table with a column `district`.

    Attributes:
        columns: those that are written, so neither generated ones nor identities.
        key: the primary key's; empty without one.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def rows(self, district: int) -> str:
        """Write the query for a district's rows, in the key's order."""
        order = f" ORDER BY {_list(self.key)}" if self.key else ""
        return f"SELECT {_list(self.columns)} FROM {_quoted(self.name)} WHERE district = {district}{order}"  # noqa: S608 names from the catalogue

    async def count(self, connection: asyncpg.Connection, district: int) -> int:
        """Count a district's rows."""
        query = f"SELECT count(*) FROM {_quoted(self.name)} WHERE district = $1"  # noqa: S608 as above
        return int(await connection.fetchval(query, district))

    async def fingerprint(self, connection: asyncpg.Connection, district: int) -> str:
        """Give a digest of a district's rows: the same on every platform for the same rows, in whatever order."""
        columns = [name for name in self.columns if name != SECRET.get(self.name)]
        row = f"convert_to(ROW({_list(columns)})::text, 'UTF8')"
        query = f"SELECT sum(substr(sha256({row}), 1, 8)::bigint) FROM {_quoted(self.name)} WHERE district = $1"  # noqa: S608 as above
        return str(await connection.fetchval(query, district) or 0)

    async def delete(self, connection: asyncpg.Connection, district: int) -> int:
        """Delete a district's rows."""
        status = await connection.execute(f"DELETE FROM {_quoted(self.name)} WHERE district = $1", district)  # noqa: S608 as above
        return int(status.split()[-1])


async def tables_of(connection: asyncpg.Connection) -> list[Table]:
    """List the tables that hold districts' rows."""
    return [
        Table(row["name"], tuple(row["columns"]), tuple(row["key"] or ())) for row in await connection.fetch(_TABLES)
    ]


async def revision_of(connection: asyncpg.Connection) -> str:
    """Give the revision of a database's tables; empty when there are none."""
    try:
        rows = await connection.fetch("SELECT version_num FROM alembic_version ORDER BY 1")
    except asyncpg.UndefinedTableError:
        return ""
    return ",".join(row[0] for row in rows)


async def broken_references(connection: asyncpg.Connection, district: int) -> list[str]:
    """Name the foreign keys that rows of a district break: what is loaded in one piece passes them by."""
    found = []
    for key in await connection.fetch(_FOREIGN_KEYS):
        match = " AND ".join(
            f"p.{_quoted(theirs)} = c.{_quoted(ours)}" for ours, theirs in zip(key["ours"], key["theirs"], strict=True)
        )
        given = " AND ".join(f"c.{_quoted(ours)} IS NOT NULL" for ours in key["ours"])
        query = (
            f"SELECT EXISTS (SELECT FROM {key['child']} c WHERE c.district = $1 AND {given}"  # noqa: S608 as above
            f" AND NOT EXISTS (SELECT FROM {key['parent']} p WHERE {match}))"
        )
        if await connection.fetchval(query, district):
            found.append(key["name"])
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: "tuple[str, ...] | list[str]") -> str:
    return ", ".join(map(_quoted, names))
