"""`linli audit verify`, on a database whose superuser has laid his hands on the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from linli.testing import Stage
from linli_cli import audit
from linli_cli.home import Home
from linli_cli.main import app

_ROW = """
INSERT INTO audit (district, unit, actor, client, action, purpose, subjects, fields)
VALUES ($1::integer, $1::integer * 1000000000000, gen_random_uuid(), 'test', 'residents.reveal', '走访',
    ARRAY[gen_random_uuid()], '{phone}')"""
_ADDED = """
INSERT INTO audit (district, sequence, unit, at, actor, client, action, purpose, subjects, fields, previous, hash)
SELECT district, 5, unit, at, actor, client, action, purpose, subjects, fields, hash, hash
FROM audit WHERE district = 310104 AND sequence = 4"""


@dataclass
class Log:
    """The audit log of a service, and the command that verifies it."""

    database: asyncpg.Connection
    folder: Path

    async def tamper(self, *statements: str) -> None:
        """Do what triggers forbid."""
        await self.database.execute("SET session_replication_role = replica")
        for statement in statements:
            await self.database.execute(statement)
        await self.database.execute("SET session_replication_role = origin")

    async def add(self, district: int, rows: int) -> None:
        for _ in range(rows):
            await self.database.execute(_ROW, district)

    async def verify(self, *options: str) -> tuple[int, str]:
        """Run the command: exit code and all that it says."""
        done = await asyncio.to_thread(CliRunner().invoke, app, ["audit", "verify", *options], env={"COLUMNS": "200"})
        return done.exit_code, done.output


@pytest.fixture
async def log(stage: Stage, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    name = await stage.fresh_database("residents")
    url = stage.url("postgres", name)

    class OneDatabase:
        @classmethod
        def of(cls, found: Home) -> "OneDatabase":
            assert found.root == home.root
            return cls()

        def everywhere(self, service: str) -> list[str]:
            return [url] if service == "residents" else []

    monkeypatch.setattr(audit, "Stores", OneDatabase)
    connection = await asyncpg.connect(url)
    found = Log(connection, tmp_path)
    await found.add(310104, 4)
    await found.add(310115, 2)
    yield found
    await connection.close()


async def test_every_chain_is_followed_and_its_last_hash_shown(log: Log) -> None:
    code, said = await log.verify()
    assert code == 0, said
    for district, rows in ((310104, 4), (310115, 2)):
        head = await log.database.fetchval("SELECT hash FROM audit_head WHERE district = $1", district)
        (line,) = [line for line in said.splitlines() if str(district) in line.split()]  # a hash may hold it, too
        assert head.hex() in line
        assert f" {rows} " in line
    assert "2 audit logs hold" in said
    code, said = await log.verify("--district", "310115")
    assert (code, "310104" in said.split(), "1 audit logs hold" in said) == (0, False, True)


@pytest.mark.parametrize(
    ("words", "statements"),
    [
        (
            "row 2 of district 310104 was altered",
            ["UPDATE audit SET purpose = 'x' WHERE district = 310104 AND sequence = 2"],
        ),
        (
            "row 2 of district 310104 was altered",
            ["UPDATE audit SET at = at - interval '1 s' WHERE district = 310104 AND sequence = 2"],
        ),
        (
            "row 4 of district 310104 was altered",
            ["UPDATE audit SET at = 'infinity' WHERE district = 310104 AND sequence = 4"],
        ),
        (
            "row 4 of district 310104 was altered",
            ["UPDATE audit SET at = '4713-01-01 BC' WHERE district = 310104 AND sequence = 4"],
        ),
        (
            "row 4 of district 310104 was altered",
            ["UPDATE audit SET at = '20000-01-01' WHERE district = 310104 AND sequence = 4"],
        ),
        (
            "row 4 of district 310104 was altered",
            [
                "ALTER TABLE audit ALTER subjects DROP NOT NULL",
                "UPDATE audit SET subjects = NULL WHERE district = 310104 AND sequence = 4",
            ],
        ),
        ("row 3 of district 310104 is missing", ["DELETE FROM audit WHERE district = 310104 AND sequence = 3"]),
        ("row 1 of district 310104 is missing", ["DELETE FROM audit WHERE district = 310104 AND sequence = 1"]),
        ("row 5 of district 310104 was altered", [_ADDED]),
        ("rows after 3 of district 310104 are missing", ["DELETE FROM audit WHERE district = 310104 AND sequence = 4"]),
        ("rows after 0 of district 310104 are missing", ["DELETE FROM audit WHERE district = 310104"]),
        ("rows after 4 of district 310104 are missing", ["DELETE FROM audit_head WHERE district = 310104"]),
        (
            "row 2 of district 310104 was altered",
            [
                "UPDATE audit SET sequence = -sequence WHERE district = 310104 AND sequence IN (2, 3)",
                "UPDATE audit SET sequence = 5 + sequence WHERE district = 310104 AND sequence < 0",
            ],
        ),
    ],
)
async def test_whatever_was_done_to_a_row_is_found(log: Log, words: str, statements: list[str]) -> None:
    await log.tamper(*statements)
    code, said = await log.verify()
    assert code == 1
    assert words in said
    assert "1 of 2 audit logs do not hold" in said
    assert (await log.verify("--district", "310115"))[0] == 0


async def test_a_district_that_has_no_log_is_not_said_to_hold(log: Log) -> None:
    code, said = await log.verify("--district", "310119")
    assert (code, "No service has an audit log of district 310119" in said) == (1, True)


async def test_an_end_that_was_cut_off_with_its_head_shows_against_a_head_that_was_kept(log: Log) -> None:
    heads = log.folder / "heads.json"
    assert (await log.verify("--heads", str(heads)))[0] == 0
    await log.add(310104, 2)
    assert (await log.verify("--heads", str(heads)))[0] == 0
    kept = json.loads(heads.read_text())
    assert kept["residents/310104"][0] == 6
    await log.tamper(
        "DELETE FROM audit WHERE district = 310104 AND sequence > 4",
        "UPDATE audit_head SET (sequence, hash) = (SELECT sequence, hash FROM audit WHERE district = 310104"
        " AND sequence = 4) WHERE district = 310104",
    )
    assert (await log.verify())[0] == 0  # nothing in the database tells
    code, said = await log.verify("--heads", str(heads))
    assert (code, "row 6 is not the one that was kept" in said) == (1, True)
    await log.add(310104, 3)  # growing on does not hide it
    code, said = await log.verify("--heads", str(heads))
    assert (code, "row 6 is not the one that was kept" in said) == (1, True)
    assert json.loads(heads.read_text()) == kept


async def test_a_chain_rewritten_as_a_whole_shows_against_a_head_that_was_kept(log: Log) -> None:
    heads = log.folder / "heads.json"
    await log.verify("--heads", str(heads))
    await log.tamper("DELETE FROM audit WHERE district = 310104", "DELETE FROM audit_head WHERE district = 310104")
    code, said = await log.verify("--heads", str(heads))
    assert (code, "all 4 rows are gone" in said) == (1, True)
    await log.add(310104, 4)
    assert (await log.verify())[0] == 0
    assert (await log.verify("--heads", str(heads)))[0] == 1


async def test_a_file_that_holds_no_heads_is_refused(log: Log) -> None:
    heads = log.folder / "heads.json"
    for content in ("[]", "{", '{"a": 1}', '{"residents/310104": [1, "x"]}'):
        heads.write_text(content)
        code, said = await log.verify("--heads", str(heads))
        assert (code, "holds no heads" in said) == (1, True)
    assert heads.read_text() == content
