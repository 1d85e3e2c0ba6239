"""Writes that nobody reads: they go as one statement, are seen by what comes after, and kept or lost with it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from libs.common.tests.shelf.app import Book, create_app
from sqlalchemy import TextClause, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from linli.db import NOBODY, Scope, async_url, transaction
from linli.direct import fetchrow, later
from linli.driver import Driver
from linli.testing import Running, Stage

HERE, ELSEWHERE = 310104003001001000, 310104004001001000
STREET = Scope.of_unit(310104003000000000)
ADD = (
    "INSERT INTO book (district, id, unit, title, number, added_at, owner, version)"
    " VALUES ($1, $2, $3, 'x', $4, now(), $5, 1)"
)
RENAME = "UPDATE book SET title = $2 WHERE id = $1"


@pytest.fixture(scope="module")
async def shelf(stage: Stage) -> AsyncIterator[Running]:
    async with stage.run("shelf", create_app, pool_size=3) as running:
        await running.know_units("310104003001001", "310104004001001")
        yield running


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the database, but for what begins and ends transactions."""
    statements: list[str] = []
    fetch = Driver.fetch

    async def note(self: Driver, statement: str, *values: object) -> Any:  # noqa: ANN401 as the driver's
        statements.append(statement)
        return await fetch(self, statement, *values)

    monkeypatch.setattr(Driver, "fetch", note)
    return statements


async def add(session: AsyncSession, unit: int = HERE, book: UUID | None = None) -> UUID:
    one = book or uuid4()
    await later(session, ADD, 310104, one, unit, uuid4().int >> 76, NOBODY)
    return one


async def add_all(shelf: Running, *books: tuple[UUID, int], first: TextClause | None = None) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        if first is not None:
            await session.execute(first)
        for book, unit in books:
            await add(session, unit, book)


async def titles(shelf: Running, *books: UUID) -> list[str]:
    rows = await shelf.database.fetch("SELECT title FROM book WHERE id = ANY ($1)", books)
    return [row["title"] for row in rows]


async def test_what_is_written_for_nobody_goes_as_one_statement(shelf: Running, sent: list[str]) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        await session.execute(text("SELECT 1"))
        known = [await add(session) for _ in range(3)]
        assert not sent
    assert len(sent) == 1
    assert await titles(shelf, *known) == ["x"] * 3


async def test_whoever_reads_after_it_sees_it(shelf: Running) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        one = await add(session)  # the transaction begins with it
        assert await session.scalar(select(func.count()).where(Book.id == one)) == 1
        other = await add(session)
        row = await fetchrow(session, "SELECT title FROM book WHERE id = $1", other)
        assert row
        third = await add(session)
        assert await session.get(Book, (310104, third))


async def test_it_is_written_within_the_scope_in_which_it_was_said(shelf: Running) -> None:
    narrower = text("SELECT set_config('app.hi', current_setting('app.lo'), true)")
    async with transaction(shelf.app.state.sessions, STREET) as session:
        one = await add(session)
        await session.execute(narrower)
    assert await titles(shelf, one) == ["x"]
    with pytest.raises(DBAPIError, match="row-level security"):
        await add_all(shelf, (uuid4(), HERE), first=narrower)


async def test_two_changes_of_a_row_are_made_one_after_the_other(shelf: Running, sent: list[str]) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        one = await add(session)
        await session.execute(text("SELECT 1"))
        for title in ("y", "z"):
            await later(session, RENAME, one, title, rows=frozenset({one}))
    assert await titles(shelf, one) == ["z"]
    assert sent[-2:] == [RENAME, RENAME]


async def test_what_is_refused_leaves_nothing(shelf: Running) -> None:
    known, kept = uuid4(), uuid4()
    await add_all(shelf, (known, HERE))
    with pytest.raises(IntegrityError):
        await add_all(shelf, (kept, HERE), (known, HERE))
    with pytest.raises(DBAPIError, match="row-level security"):
        await add_all(shelf, (kept, HERE), (uuid4(), ELSEWHERE))
    assert await titles(shelf, kept) == []
    assert shelf.app.state.engines[None].pool.checkedout() == 0


async def lose(session: AsyncSession, book: UUID) -> None:
    async with session.begin():
        await add(session, book=book)
        raise ZeroDivisionError


async def test_what_waits_is_lost_with_its_transaction(shelf: Running) -> None:
    lost = uuid4()
    async with shelf.app.state.sessions(info={"scope": STREET}) as session:
        with pytest.raises(ZeroDivisionError):
            await lose(session, lost)
        async with session.begin():
            kept = await add(session)
    assert await titles(shelf, lost, kept) == ["x"]


async def test_many_go_as_a_few_statements(shelf: Running, sent: list[str]) -> None:
    async with transaction(shelf.app.state.sessions, STREET) as session:
        known = [await add(session) for _ in range(20)]
    assert len(await titles(shelf, *known)) == 20
    assert len(set(sent)) <= 2, "a connection keeps a hundred statements, and each length is one of them"


async def test_a_session_without_a_scope_writes_at_once(shelf: Running) -> None:
    engine = create_async_engine(async_url(shelf.settings.relay_database_url.get_secret_value()))
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text("CREATE TEMPORARY TABLE noted (number integer)"))
        await later(session, "INSERT INTO noted VALUES ($1)", 7)
        connection = await session.connection()
        assert (await connection.execute(text("SELECT number FROM noted"))).scalars().all() == [7]
    await engine.dispose()
