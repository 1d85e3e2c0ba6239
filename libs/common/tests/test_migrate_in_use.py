"""Migrations of tables that are in use: they wait for nobody for long, say who was in the way, and try again."""

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from linli import bootstrap, migrate
from linli.testing import Stage, Watch, eventually

_REVISIONS = {
    "0001": "op.execute('CREATE TABLE book (id int PRIMARY KEY, title text)')",
    "0002": "op.execute('ALTER TABLE book ADD COLUMN number int')",
    "0003": "migrate.index('ix_book_title', 'book (title)')",
}
_FILE = """
from alembic import op
from linli import migrate
revision = {0!r}
down_revision = {1!r}
def upgrade():
    {2}
"""


@dataclass
class Library:
    """A service of three revisions: a table, a column, and an index built while the table is written to."""

    stage: Stage
    name: str

    def url(self, role: str) -> str:
        return self.stage.url(role if role == "postgres" else f"{self.name}_{role}", self.name)

    async def migrate(self, revision: str = "head") -> None:
        await migrate.upgrade_async(self.name, self.url("owner"), revision)

    @asynccontextmanager
    async def connected(self, role: str = "postgres", application: str = "test") -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url(role), server_settings={"application_name": application})
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def in_use(self, role: str = "app") -> AsyncIterator[asyncpg.Connection]:
        """Hold the table as somebody does who reads it and doesn't end."""
        async with self.connected(role, "a long report") as reader, reader.transaction():
            await reader.fetch("SELECT FROM book")
            yield reader

    async def version(self) -> str:
        async with self.connected() as connection:
            return str(await connection.fetchval("SELECT version_num FROM alembic_version"))


@pytest.fixture
async def library(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Library]:
    made = Library(stage, f"library_{uuid4().hex[:8]}")
    versions = tmp_path / made.name / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / made.name / "__init__.py").touch()
    before = None
    for revision, does in _REVISIONS.items():
        (versions / f"{revision}.py").write_text(_FILE.format(revision, before, does))
        before = revision
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    passwords = dict.fromkeys(bootstrap.logins(made.name), "test")
    await bootstrap.provision(stage.url("postgres", "postgres"), [made.name], passwords)
    await made.migrate("0001")
    async with made.connected("owner") as owner:
        await owner.execute(f"GRANT USAGE ON SCHEMA public TO {made.name}_app; GRANT ALL ON book TO {made.name}_app")
    yield made
    sys.modules.pop(made.name, None)


async def test_a_migration_gives_up_after_five_seconds_changes_nothing_and_says_who_was_in_the_way(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_TRIES", 1)
    async with library.in_use() as reader:
        began = time.monotonic()
        async with Watch() as watch:
            migrating = asyncio.create_task(library.migrate())
            await asyncio.sleep(1)
            async with library.connected("app") as writer, Watch() as behind:
                await writer.execute("INSERT INTO book VALUES (1, '红楼梦')")
            with pytest.raises(migrate.TableInUse) as held:
                await migrating
        assert behind.seconds < 8
        assert time.monotonic() - began >= 5
        assert watch.seconds < 15
        pid = reader.get_server_pid()
        started = await reader.fetchval("SELECT xact_start FROM pg_stat_activity WHERE pid = $1", pid)
    said = str(held.value)
    assert f"pid {pid} ({library.name}_app, application a long report, idle in transaction" in said
    assert f"transaction since {started:%H:%M:%SZ}, statement since " in said
    assert "数据表正被占用" in said
    async with library.connected() as connection:
        columns = "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND attrelid = $1"
        book = await connection.fetchval("SELECT 'book'::regclass::oid")
        assert await connection.fetchval(columns, book) == ["id", "title"]
        assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE relation = $1", book) == 0
    assert await library.version() == "0001"


async def test_a_migration_tries_again_when_the_table_is_free(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_WITHIN", 1)
    async with library.in_use():
        migrating = asyncio.create_task(library.migrate("0002"))
        await eventually(lambda: "try 2 of 5" in caplog.text)
    await migrating
    assert await library.version() == "0002"


async def test_it_tries_five_times_and_no_more(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_WITHIN", 2)  # to look who is in the way takes a connection
    monkeypatch.setattr(migrate, "_LOOK_EVERY", 0.05)
    monkeypatch.setattr("linli.migrate.random.uniform", lambda *_: 0.0)
    async with library.in_use("postgres") as reader:
        with pytest.raises(migrate.TableInUse, match=rf"pid {reader.get_server_pid()} \(postgres, application a long"):
            await library.migrate()
    assert caplog.text.count("follows in") == 4
    assert await library.version() == "0001"


async def test_another_error_is_not_tried_again(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    async with library.connected() as connection:
        await connection.execute("ALTER TABLE book ADD COLUMN number int")
    with pytest.raises(Exception, match="already exists"):
        await library.migrate()
    assert "follows in" not in caplog.text


async def test_a_database_that_a_newer_version_has_migrated_is_left_as_it_is(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await library.migrate()
    (tmp_path / library.name / "migrations" / "versions" / "0003.py").unlink()
    await library.migrate()
    assert "revision 0003 is of a newer version" in caplog.text
    assert await library.version() == "0003"


async def test_an_index_is_built_while_its_table_is_written_to_and_another_migration_waits(library: Library) -> None:
    await library.migrate("0002")
    async with library.connected("app") as first, library.connected() as looker, library.connected("app") as writer:
        begun = first.transaction()
        await begun.start()
        await first.execute("INSERT INTO book VALUES (1, '红楼梦')")
        migrating = [asyncio.create_task(library.migrate()) for _ in range(2)]
        waits = "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX CON%'"
        await eventually(lambda: looker.fetchval(waits))
        # Longer than the deadlock detector of the database needs to find two who wait for each other.
        await asyncio.sleep(1.5)
        async with asyncio.timeout(20):
            await writer.execute("INSERT INTO book VALUES (2, '西游记')")
        assert not any(one.done() for one in migrating)
        await begun.commit()
        await asyncio.gather(*migrating)
        assert await looker.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_book_title'::regclass")
    assert await library.version() == "0003"


async def test_an_index_left_half_built_is_built_anew(library: Library) -> None:
    await library.migrate("0002")
    async with library.connected("owner") as owner, library.in_use("postgres") as reader:
        await reader.execute("INSERT INTO book VALUES (1, 'x')")
        with suppress(asyncpg.LockNotAvailableError):
            await owner.execute("SET lock_timeout = 100")
            await owner.execute("CREATE INDEX CONCURRENTLY ix_book_title ON book (title)")
        assert not await owner.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_book_title'::regclass")
    await library.migrate()
    async with library.connected() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_book_title'::regclass"
        assert await connection.fetchval(valid)
    assert await library.version() == "0003"
