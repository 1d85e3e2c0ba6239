"""Backups of a real database server, in a folder and in an S3 store: whole, sealed, complete, and nothing half."""

import asyncio
import base64
import contextlib
import hashlib
import io
import itertools
import json
import os
import tarfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest
from pyrage.x25519 import Identity
from typer.testing import CliRunner

from linli.crypto import MasterKeys
from linli.events import Event
from linli.events.tickets import TicketAnswered, TicketRated
from linli.models import uuid7
from linli.outbox import SHARDS
from linli.shards import Shards
from linli.testing import Stage, eventually, tcp_postgres
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores, connected
from linli_cli.backup import base, contents, files, keeper, reached, segments, take, wal
from linli_cli.backup.contents import PRIMARY, Files, Receipt, Server
from linli_cli.backup.lay import Point, into_folder, into_tar, lay
from linli_cli.backup.opened import Backup
from linli_cli.backup.restore import chosen
from linli_cli.backup.settle import settle
from linli_cli.console import Trouble
from linli_cli.home import SERVICES, Home
from linli_cli.main import app
from linli_cli.stack.streams import subscriptions
from tickets.models.files import object_name

FIRST = "000000010000000000000003"
FILE = uuid7()
CONTENT = b"a photo"
_TABLES = """
CREATE TABLE ticket AS SELECT 1 AS id;
CREATE TABLE outbox AS SELECT 1 AS id;
CREATE TABLE inbox (district int, consumer text, received_at timestamptz);
CREATE TABLE ticket_file (district int, id uuid, size bigint, width bigint, removed_at timestamptz)"""


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    """A database server with all services' databases, and a ticket with a file in one of them."""
    with tcp_postgres() as server:
        superuser = f"postgresql://postgres@{server.address}"
        async with connected(f"{superuser}/postgres") as connection:
            for service in SERVICES:
                await connection.execute(f"CREATE DATABASE {service}")
        async with connected(f"{superuser}/tickets") as connection:
            await connection.execute(_TABLES)
            await connection.execute("INSERT INTO ticket_file VALUES (310104, $1, $2)", FILE, len(CONTENT))
        yield f"{superuser}/postgres"


@pytest.fixture
def stores(url: str, tmp_path: Path) -> Stores:
    found = Stores("", MasterKeys(base64.b64encode(bytes(32)).decode()), Shards(), url, str(tmp_path / "files"))
    found.files.write(object_name(310104, FILE), CONTENT)
    return found


async def taken(home: Home, stores: Stores, place: Place, lock: Lock) -> Receipt:
    home.master_key()
    home.secret("postgres")
    return await take.take(home, stores, place, lock, secrets=True)


async def test_a_backup_is_sealed_and_every_file_in_it_is_found_again(
    home: Home, stores: Stores, place: Place, key: tuple[Lock, Key]
) -> None:
    receipt = await taken(home, stores, place, key[0])
    assert contents.receipts(place) == [receipt]
    assert receipt.server(PRIMARY).rows == {"tickets.ticket": (1, 1), "tickets.ticket_file": (1, 1)}
    assert receipt.files
    assert (receipt.files.count, receipt.files.new, receipt.files.lost) == (1, 1, [])
    assert files.check(place, receipt, key[1]) == []
    with place.reading(receipt.archive) as file:
        sealed = file.read()
    assert sealed.startswith(b"age-encryption.org/v1")
    assert home.master_key() not in json.dumps(receipt.model_dump(mode="json"))
    backup = Backup(place, receipt, key[1])
    assert backup.secrets()["master_key"] == home.master_key()
    server = receipt.server(PRIMARY)
    assert backup.each(lambda _, dump: base.check(dump)) == {PRIMARY: (server.pieces, server.ended_at)}
    assert segments.number(server.pieces[-1]) == server.end // segments.SIZE
    stranger = Identity.generate()
    with pytest.raises(Trouble, match="does not open"):
        Backup(place, receipt, Key((stranger,))).secrets()


async def test_a_backup_that_breaks_off_leaves_nothing(
    home: Home, stores: Stores, place: Place, key: tuple[Lock, Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = base.dump

    def breaks_off(url: str) -> Iterator[bytes]:
        yield from itertools.islice(whole(url), 3)
        raise Trouble("gone", "断开")

    monkeypatch.setattr(base, "dump", breaks_off)
    with pytest.raises(Trouble, match="gone"):
        await taken(home, stores, place, key[0])
    assert place.names() == []


async def test_a_backup_that_was_altered_or_cut_off_is_found(
    home: Home, stores: Stores, tmp_path: Path, key: tuple[Lock, Key]
) -> None:
    place = Place(str(tmp_path / "there"), make=True)
    killed = tmp_path / "there" / "base" / "linli-0.age#0"
    killed.parent.mkdir()
    killed.write_bytes(b"half")
    os.utime(killed, (0, 0))
    receipt = await taken(home, stores, place, key[0])
    assert not killed.exists()
    file = tmp_path / "there" / receipt.archive
    content = file.read_bytes()
    middle = len(content) // 2
    for damaged in (content[:-1], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]):
        file.write_bytes(damaged)
        with pytest.raises(Trouble, match="is not what was written"):
            take.compare(place, receipt)
        with pytest.raises(Trouble, match="damaged"):
            Backup(place, receipt, key[1]).each(lambda _, dump: base.check(dump))


def test_a_file_that_is_missing_altered_or_too_much_is_found(url: str) -> None:
    dump = b"".join(base.dump(url))
    assert base.check(io.BytesIO(dump))

    def changed(change: Callable[[str, bytes], bytes | None], more: str = "") -> io.BytesIO:
        made = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(dump)) as old, tarfile.open(fileobj=made, mode="w") as new:
            for member in old:
                content = change(member.name, (old.extractfile(member) or io.BytesIO()).read())
                if content is not None:
                    member.size = len(content)
                    new.addfile(member, io.BytesIO(content))
            if more:
                new.addfile(tarfile.TarInfo(more))
        return io.BytesIO(made.getvalue())

    assert base.check(changed(lambda _, content: content))
    for change in (
        lambda name, content: None if name == "PG_VERSION" else content,
        lambda name, content: b"17\n" if name == "PG_VERSION" else content,
        lambda name, content: None if name.startswith("pg_wal/0") else content,
        lambda name, content: content.replace(b"PG_VERSION", b"pg_version") if name == "backup_manifest" else content,
    ):
        with pytest.raises(Trouble, match=r"missing, altered|damaged"):
            base.check(changed(change))
    with pytest.raises(Trouble, match="too much, such as base/1/evil"):
        base.check(changed(lambda _, content: content, more="base/1/evil"))


def test_a_piece_of_the_log_that_is_missing_is_named() -> None:
    def name(line: int, place: int) -> str:
        return segments.name_of(line, place)

    assert name(1, 3) == FIRST
    assert name(1, 256) == "000000010000000100000000"
    assert segments.number(name(7, 300)) == 300
    assert segments.missing(FIRST, []) == []
    assert segments.missing(FIRST, [name(1, 3), name(1, 4), name(1, 5)]) == []
    assert segments.missing(FIRST, [name(1, 3), name(1, 6)]) == [name(1, 4), name(1, 5)]
    assert segments.missing(FIRST, [name(1, 4)]) == [name(1, 3)]
    # Restored at 4: what the timeline before went on to write is not part of it.
    forked = [name(1, 3), name(1, 4), name(1, 5), name(1, 6), name(2, 4), name(2, 6)]
    assert segments.missing(FIRST, forked) == [name(2, 5)]
    assert segments.missing(FIRST, [*forked[:4], name(2, 4)]) == []
    assert list(segments.between(1, "0/2FFFFFF", "0/4000000")) == [name(1, 2), name(1, 3)]


async def test_the_log_is_kept_as_it_is_written_and_laid_beside_the_files(
    home: Home, stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path
) -> None:
    [source] = take.sources(stores)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
    receipt = await taken(home, stores, place, key[0])
    server = receipt.server(PRIMARY)
    try:
        await asyncio.to_thread(receiver.round)
        async with connected(source.services["tickets"]) as connection:
            await connection.execute("INSERT INTO ticket SELECT generate_series(2, 1000)")
            done = await connection.fetchval("SELECT clock_timestamp()")
            await connection.execute("SELECT pg_switch_wal()")
        await _rounds(receiver, lambda: (until(place, server.system) or done) > done)
        await _nothing_is_reached_without_its_files(receiver, source, stores, place, server.system)
    finally:
        await asyncio.to_thread(receiver.finish)
        async with connected(source.url) as connection:
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)
    assert wal.gap(place, server) == []
    later = wal.later(place, server)
    assert len(later) >= 2
    folder = tmp_path / "data"
    folder.mkdir()
    at = datetime(2026, 11, 22, 18, 0, 0, 5, tzinfo=timezone(timedelta(hours=8)))
    backup = Backup(place, receipt, key[1])
    lay(backup, PRIMARY, Point(at), into_folder(folder))
    for name in later:
        assert segments.holds(name.removesuffix(".partial"), (folder / "pg_wal" / name[:24]).read_bytes())
    assert (folder / "recovery.signal").exists()
    assert "recovery_target_time = '2026-11-22 10:00:00.000005+00'" in (folder / "postgresql.auto.conf").read_text()
    written = io.BytesIO()
    lay(backup, PRIMARY, Point(alone=True), into_tar(written))
    written.seek(0)
    with tarfile.open(fileobj=written) as tar:
        assert b"'immediate'" in cast("io.BufferedReader", tar.extractfile("postgresql.auto.conf")).read()
    place.delete(wal.path(server.system, later[0]))
    place.delete(wal.path(server.system, next(name for name in later[1:] if segments.is_piece(name))))
    if segments.number(later[-1]) > segments.number(later[1]):
        with pytest.raises(Trouble, match="pieces are missing"):
            lay(backup, PRIMARY, Point(), into_folder(folder))


def until(place: Place, system: str) -> datetime | None:
    return reached.until(place, system, 1)


async def _rounds(receiver: keeper.Receiver, enough: Callable[[], bool]) -> None:
    while not enough():
        await asyncio.sleep(0.1)
        await asyncio.to_thread(receiver.round)


async def _nothing_is_reached_without_its_files(
    receiver: keeper.Receiver, source: take.Source, stores: Stores, place: Place, system: str
) -> None:
    file, before = uuid7(), until(place, system)
    async with connected(source.services["tickets"]) as connection:
        await connection.execute("INSERT INTO ticket_file VALUES (310104, $1, $2)", file, len(CONTENT))
        try:
            with pytest.raises(Trouble, match=f"are nowhere: {object_name(310104, file)}"):
                await _rounds(receiver, lambda: False)
            assert until(place, system) == before
            stores.files.write(object_name(310104, file), CONTENT)
            await _rounds(receiver, lambda: until(place, system) != before)
            assert [name for name in place.names("files") if str(file) in name]
        finally:
            await connection.execute("DELETE FROM ticket_file WHERE id = $1", file)


def kept_by_another(place: Place, system: str, timeline: int, ago: timedelta) -> None:
    found = reached.Reached(until=datetime.now(UTC) - ago, timeline=timeline)
    reached.write(place, system, found)


async def test_a_copy_does_not_back_up_where_the_platform_keeps_its_log(
    home: Home, stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path
) -> None:
    [source] = take.sources(stores)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
    async with connected(source.url) as connection:
        system, timeline = await reached.who(connection)
        kept_by_another(place, system, timeline + 1, timedelta(minutes=4))
        with pytest.raises(Trouble, match="another copy of this database"):
            await taken(home, stores, place, key[0])
        with pytest.raises(Trouble, match="another copy of this database"):
            await asyncio.to_thread(receiver.round)
        assert [name for name in place.names() if "reached" not in name] == []
        assert not await connection.fetchval("SELECT count(*) FROM pg_replication_slots")
        kept_by_another(place, system, timeline + 1, timedelta(minutes=6))
        await taken(home, stores, place, key[0])
        try:
            await _rounds(receiver, lambda: getattr(reached.read(place, system), "timeline", 0) == timeline)
        finally:
            await asyncio.to_thread(receiver.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)


async def test_the_log_waits_here_while_the_place_is_not_mounted(
    stores: Stores, key: tuple[Lock, Key], tmp_path: Path
) -> None:
    [source] = take.sources(stores)
    mounted, place = tmp_path / "mounted", Place(str(tmp_path / "there"), make=True)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
    async with connected(source.url) as connection:
        system, _ = await reached.who(connection)

        async def write_pieces(number: int) -> None:
            for _ in range(number):
                await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
                await connection.execute("SELECT pg_switch_wal()")

        try:
            await asyncio.to_thread(receiver.round)
            await write_pieces(1)
            await _rounds(receiver, lambda: until(place, system) is not None)
            (tmp_path / "there").rename(mounted)
            for empty in (False, True):
                if empty:
                    (tmp_path / "there").mkdir()
                await write_pieces(2)
                for _ in range(5):
                    await asyncio.sleep(0.2)
                    with pytest.raises(Trouble, match="is it mounted"):
                        await asyncio.to_thread(receiver.round)
                assert place.names() == []
            (tmp_path / "there").rmdir()
            mounted.rename(tmp_path / "there")
            await _rounds(receiver, lambda: len(list(filter(segments.is_piece, wal.pieces(place, system)))) >= 5)
        finally:
            await asyncio.to_thread(receiver.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)
    there = wal.pieces(place, system)
    assert segments.missing(min(there), there) == []


async def _is_fetched(receiver: keeper.Receiver, connection: asyncpg.Connection, written: int) -> bool:
    fetched = "SELECT restart_lsn >= $2 FROM pg_replication_slots WHERE slot_name = $1"
    return receiver._process is None or await connection.fetchval(fetched, keeper.SLOT, written)


async def test_no_more_waits_here_than_fits_while_the_place_can_not_be_written(
    stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_SPOOL_LIMIT", 3 * segments.SIZE)
    [source] = take.sources(stores)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)

    def refuse(*_: object) -> None:
        raise Trouble("No space left on device", "磁盘已满")

    async with connected(source.url) as connection:
        system, _ = await reached.who(connection)
        try:
            await _rounds(receiver, lambda: until(place, system) is not None)
            before = len(wal.pieces(place, system))
            with monkeypatch.context() as patched:
                patched.setattr(place, "write", refuse)
                sizes = []
                for _ in range(10):
                    await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
                    written = await connection.fetchval("SELECT pg_switch_wal()")
                    await eventually(partial(_is_fetched, receiver, connection, written))
                    with pytest.raises(Trouble, match="No space left"):
                        await asyncio.to_thread(receiver.round)
                    files = (tmp_path / "spool").rglob("*")
                    sizes.append(sum(file.stat().st_size for file in files if file.is_file()))
                again = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
                for one in (receiver.finish, again.round, again.finish):
                    with pytest.raises(Trouble, match="No space left"):
                        await asyncio.to_thread(one)
                    assert again._process is None, "nor does one that starts now begin to fetch"
            assert 3 * segments.SIZE < max(sizes) < 7 * segments.SIZE
            await _rounds_as_well_as_may_be(receiver, lambda: len(wal.pieces(place, system)) > before + 9)
        finally:
            await asyncio.to_thread(receiver.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)


async def test_why_nothing_is_kept_is_told_though_a_piece_becomes_whole_meanwhile(
    stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [source] = take.sources(stores)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
    stat = Path.stat

    def refuse(*_: object) -> None:
        raise Trouble("No space left on device", "磁盘已满")

    def stat_too_late(file: Path, **options: bool) -> os.stat_result:
        return stat(file.with_suffix(".gone") if file.suffix == segments.PARTIAL else file, **options)

    async with connected(source.url) as connection:
        system, _ = await reached.who(connection)
        try:
            await _rounds(receiver, lambda: until(place, system) is not None)
            await connection.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
            with monkeypatch.context() as patched:
                patched.setattr(place, "write", refuse)
                patched.setattr(Path, "stat", stat_too_late)
                with pytest.raises(Trouble, match="No space left"):
                    await _rounds(receiver, lambda: False)
        finally:
            await asyncio.to_thread(receiver.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)


async def _rounds_as_well_as_may_be(receiver: keeper.Receiver, enough: Callable[[], bool]) -> None:
    while not enough():
        await asyncio.sleep(0.1)
        with contextlib.suppress(Trouble):
            await asyncio.to_thread(receiver.round)


async def test_the_log_is_kept_by_one_who_may_not_delete(
    stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [source] = take.sources(stores)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)

    def refuse(_: str) -> None:
        raise Trouble("AccessDenied", "无权删除")

    monkeypatch.setattr(place, "delete", refuse)
    async with connected(source.url) as connection:
        system, timeline = await reached.who(connection)
        try:
            await connection.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
            await _rounds(receiver, lambda: any(segments.PARTIAL in name for name in wal.pieces(place, system)))
            for _ in range(2):
                await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
                await connection.execute("SELECT pg_switch_wal()")
            now = await connection.fetchval("SELECT clock_timestamp()")
            await _rounds(receiver, lambda: (until(place, system) or now) > now)
        finally:
            await asyncio.to_thread(receiver.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)
    there = wal.pieces(place, system)
    whole = [name for name in there if segments.is_piece(name)]
    assert any(name + segments.PARTIAL in there for name in whole), "what could not be deleted is there still"
    server = Server(system=system, pieces=[segments.name_of(timeline, segments.number(whole[0]))], rows={})
    assert not any(name + segments.PARTIAL in wal.later(place, server) for name in whole)
    assert wal.gap(place, server) == []


@pytest.mark.parametrize("spool", ["spool", "another"])
async def test_only_one_fetches_a_servers_log_and_another_is_told(
    stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path, spool: str
) -> None:
    [source] = take.sources(stores)
    other = Place(str(tmp_path / "other"), make=True)
    first = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
    second = keeper.Receiver(source, other, key[0], tmp_path / spool, stores.files)
    async with connected(source.url) as connection:
        system, _ = await reached.who(connection)
        try:
            await _rounds(first, lambda: until(place, system) is not None)
            for _ in range(3):
                await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
                await connection.execute("SELECT pg_switch_wal()")
                await asyncio.sleep(0.5)  # a piece waits in the spool
                with pytest.raises(Trouble, match="Somebody else fetches") as caught:
                    await asyncio.to_thread(second.round)
                await asyncio.to_thread(second.finish)
            assert "已有其他进程" in caught.value.chinese
            assert other.names() == []
            now = await connection.fetchval("SELECT clock_timestamp()")
            await _rounds(first, lambda: (until(place, system) or now) > now)
            there = wal.pieces(place, system)
            assert len(there) >= 3
            assert segments.missing(min(there), there) == []
            await asyncio.to_thread(first.finish)
            await _rounds_as_well_as_may_be(second, lambda: until(other, system) is not None)
        finally:
            for one in (first, second):
                await asyncio.to_thread(one.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)


async def test_what_is_fetched_after_its_keeper_was_killed_is_kept_by_the_next(
    stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path
) -> None:
    [source] = take.sources(stores)
    killed, again = (keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files) for _ in range(2))
    async with connected(source.url) as connection:
        system, _ = await reached.who(connection)
        try:
            await _rounds(killed, lambda: until(place, system) is not None)
            before = len(wal.pieces(place, system))
            killed._let_go()  # as the kernel does; pg_receivewal goes on
            await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
            await connection.execute("SELECT pg_switch_wal()")
            await _rounds_as_well_as_may_be(again, lambda: len(wal.pieces(place, system)) > before)
        finally:
            for one in (killed, again):
                await asyncio.to_thread(one.finish)
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)


async def test_a_piece_that_becomes_whole_while_the_spool_is_read_is_kept(
    stores: Stores, place: Place, key: tuple[Lock, Key], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [source] = take.sources(stores)
    receiver = keeper.Receiver(source, place, key[0], tmp_path / "spool", stores.files)
    read = Path.read_bytes

    def read_too_late(file: Path) -> bytes:
        if file.suffix == segments.PARTIAL:
            file.rename(file.with_suffix(""))
        return read(file)

    async with connected(source.url) as connection:
        system, timeline = await reached.who(connection)
        try:
            await _rounds(receiver, lambda: until(place, system) is not None)
        finally:
            receiver.end()
            await connection.execute("SELECT pg_drop_replication_slot($1)", keeper.SLOT)
    for file in (tmp_path / "spool" / system).iterdir():
        file.unlink()
    name = segments.name_of(timeline, 900)
    (tmp_path / "spool" / system / (name + segments.PARTIAL)).write_bytes(b"all of it")
    monkeypatch.setattr(Path, "read_bytes", read_too_late)
    receiver.finish()
    assert name in wal.pieces(place, system)


def test_whatever_fails_is_tried_again() -> None:
    failures: list[Exception] = [
        Trouble("away", "中断"),
        asyncpg.ConnectionDoesNotExistError("killed"),
        asyncpg.InterfaceError("closed"),
        asyncpg.InternalClientError("killed while it was spoken to"),
        OSError("refused"),
    ]

    class Receiver:
        rounds = 0

        def round(self) -> None:
            self.rounds += 1
            if failures:
                raise failures.pop()

        def finish(self) -> None: ...

    receiver = Receiver()
    keeper.receive([cast("keeper.Receiver", receiver)], 0.01, lambda: receiver.rounds < 7)
    assert (failures, receiver.rounds) == ([], 7)


def receipt_of(name: str, finished_at: datetime, first: str) -> Receipt:
    server = Server(system="1", pieces=[first], rows={})
    facts: dict[str, Any] = {"size": 1, "sha256": "", "secrets": True, "version": "0", "started_at": finished_at}
    return Receipt(name=name, finished_at=finished_at, servers={PRIMARY: server}, **facts)


def test_old_backups_go_with_the_log_that_only_they_need(place: Place) -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    for number in range(4):
        one = receipt_of(f"linli-{number}", noon + timedelta(hours=number), segments.name_of(1, 10 * number))
        place.write(one.archive, b"sealed")
        contents.write(place, one)
    for number in range(40):
        place.write(wal.path("1", segments.name_of(1, number)), b"sealed")
    place.write(wal.path("1", "00000002.history"), b"sealed")
    place.write(wal.path("2", FIRST), b"another platform's")
    assert [one.name for one in take.prune(place, 2, one)] == ["linli-0", "linli-1"]
    assert [one.name for one in contents.receipts(place)] == ["linli-2", "linli-3"]
    assert wal.pieces(place, "1") == [segments.name_of(1, number) for number in range(20, 40)]
    assert "00000002.history" in wal.names(place, "1")
    assert wal.pieces(place, "2") == [FIRST]


def test_a_copys_backups_do_not_count_among_those_that_are_kept(place: Place) -> None:
    noon = datetime.now(UTC) - timedelta(hours=9)
    for number, line in enumerate((1, 2, 1, 2, 1, 2)):
        one = receipt_of(f"linli-{number}", noon + timedelta(hours=number), segments.name_of(line, 10 * number))
        contents.write(place, one)
    kept_by_another(place, "1", 1, timedelta(0))
    own = contents.own(place)
    assert [one.name for one in own] == ["linli-0", "linli-2", "linli-4"]
    with pytest.raises(Trouble, match="linli-5 is of a copy"):
        take.prune(place, 1, one)
    assert len(contents.receipts(place)) == 6
    assert [one.name for one in take.prune(place, 2, own[-1])] == ["linli-0", "linli-1"]
    assert contents.own(place) == own[1:]


def test_the_newest_backup_from_before_the_time_is_chosen(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    place = Place(str(tmp_path))
    for number in range(3):
        contents.write(place, receipt_of(f"linli-{number}", noon + timedelta(hours=number), FIRST))
    at = noon + timedelta(hours=1, minutes=59)
    assert chosen(str(tmp_path), at)[1].name == "linli-1"
    assert chosen(str(tmp_path), None)[1:] == (contents.find(place, "linli-2"), Point())
    _, found, point = chosen(f"{tmp_path}/base/linli-0.age", None)
    assert (found.name, point) == ("linli-0", Point(alone=True))
    with pytest.raises(Trouble, match="nothing can be restored from before"):
        chosen(str(tmp_path), noon - timedelta(seconds=1))
    with pytest.raises(Trouble, match="no backup linli-9"):
        chosen(f"{tmp_path}/base/linli-9.age", None)


@pytest.mark.parametrize("at", ["2026-11-28T10:00", "2026-11-28", "10:00+08:00", "now", ""])
def test_a_time_without_its_zone_is_refused_in_both_languages(tmp_path: Path, at: str) -> None:
    (tmp_path / "key").write_text(str(Identity.generate()))
    options = ["--identity-file", str(tmp_path / "key"), "--at", at]
    said = CliRunner().invoke(app, ["restore", str(tmp_path), *options])
    assert said.exit_code == 1
    assert "Say the time with its zone" in said.output
    assert "请给出带时区的时间" in said.output


def test_a_copys_backup_counts_for_none_of_the_platform_whose_log_went_on(tmp_path: Path) -> None:
    noon = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    place = Place(str(tmp_path))
    for number, line in ((0, 1), (1, 2)):
        one = receipt_of(f"linli-{number}", noon + timedelta(minutes=number), segments.name_of(line, 3))
        place.write(one.archive, b"1")
        contents.write(place, one)
    for number in (3, 4, 5):
        place.write(wal.path("1", segments.name_of(1, number)), b"sealed")
    kept_by_another(place, "1", 1, timedelta(0))
    _, found, point = chosen(str(tmp_path), None)
    assert (found.name, point) == ("linli-0", Point())
    assert chosen(str(tmp_path), noon + timedelta(minutes=30))[1].name == "linli-0"
    assert contents.find(place, "").name == "linli-0"
    platform, copy = (contents.find(place, f"linli-{number}").servers[PRIMARY] for number in (0, 1))
    assert (len(wal.later(place, platform)), wal.later(place, copy)) == (3, [])
    said = CliRunner().invoke(app, ["backup", "list", "--to", str(tmp_path)]).output.splitlines()
    assert [("itself" in line) for line in said if "linli-" in line] == [False, True]
    # The platform itself was restored, and the log of before ended then: it is the copy that goes on.
    kept_by_another(place, "1", 1, timedelta(hours=2))
    assert contents.find(place, "").name == "linli-1"
    kept_by_another(place, "1", 2, timedelta(0))
    assert contents.find(place, "").name == "linli-1"
    assert reached.until(place, "1", 1), "what was restored goes on from the timeline before"


def test_a_backup_counts_up_to_where_its_timeline_was_left(place: Place) -> None:
    history = "1\t0/5000100\tbefore a time\n\n# a remark\n2\t1/6000000\tno recovery target specified\n"
    forks = segments.ancestors(history)
    assert forks == {1: 0x5000100, 2: 0x106000000}
    now = datetime.now(UTC)
    found = reached.Reached(until=now, timeline=3, before=dict.fromkeys(forks), forks=forks)
    reached.write(place, "1", found)
    ends = (
        (1, 0x5000100, True),
        (1, 0x5000101, False),
        (2, 0x6000000, True),
        (2, 0x107000000, False),
        (3, 2**40, True),
    )
    for line, end, own in ends:
        assert found.has(line, end) is own
        assert (reached.until(place, "1", line, end) == now) is own
    # What versions wrote that knew of no forks, of logs and of backups.
    place.write("wal/1/reached.json", found.model_dump_json(exclude={"forks"}).encode())
    assert reached.until(place, "1", 1, 2**40) == now
    pieces = [segments.name_of(1, number) for number in (4, 5, 6)]
    ends_at_the_earliest = [Server(system="1", pieces=[name], rows={}).end for name in pieces]
    assert [found.has(1, end) for end in ends_at_the_earliest] == [True, True, False]


def test_a_write_that_was_killed_is_swept_away_after_a_day(place: Place, tmp_path: Path) -> None:
    place.write("base/whole", b"1")
    old, new = (tmp_path / "there" / "base" / f"linli-{number}.age#0" for number in (1, 2))
    if folder := place.address.startswith("/"):
        for draft in (old, new):
            draft.write_bytes(b"half")
        os.utime(old, (time.time() - 90_000,) * 2)
    place.sweep("base")
    assert (old.exists(), new.exists()) == (False, folder)
    assert place.names() == ["base/whole"]


def test_what_a_backup_that_was_killed_has_left_is_swept_away_among_files_too(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    for name in ("base/linli-0.age", "files/310104/0a/photo.12345678.age"):
        place.write(name, b"1")
        draft = tmp_path / f"{name}#0"
        draft.write_bytes(b"half")
        os.utime(draft, (0, 0))
    contents.sweep(place)
    assert list(tmp_path.rglob("*#0")) == []
    assert len(place.names()) == 2


def test_a_disk_that_is_full_ends_a_restore_in_both_languages(
    home: Home, stores: Stores, tmp_path: Path, key: tuple[Lock, Key]
) -> None:
    place = Place(str(tmp_path / "there"), make=True)
    receipt = asyncio.run(taken(home, stores, place, key[0]))
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(Trouble, match="can't be written: No space left on device") as caught,
    ):
        lay(Backup(place, receipt, key[1]), PRIMARY, Point(alone=True), into_tar(full))
    assert "无法写入" in caught.value.chinese


def test_nothing_is_written_outside_of_the_servers_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(Trouble, match="elsewhere"):
        into_folder(tmp_path / "data")([(tarfile.TarInfo("../evil"), io.BytesIO(b"x"))])
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_whoever_watches_is_told_when_backups_are_late(tmp_path: Path) -> None:
    def status(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["backup", "status", "--to", str(tmp_path), *options])
        return done.exit_code, done.output

    assert "no backup" in status()[1]
    now = datetime.now(UTC)
    place, receipt = Place(str(tmp_path)), receipt_of("linli-1", now - timedelta(hours=2), FIRST)
    receipt.files = Files(count=1, new=1, sealed_for="", sha256="", lost=[])
    for name in (receipt.archive, receipt.list_of_files):
        place.write(name, b"1")
    contents.write(place, receipt)
    assert status("--minutes", "0")[0] == 0
    assert status("--minutes", "0", "--hours", "1")[0] == 1
    code, said = status()
    assert code == 1
    assert "no log of primary is kept" in said
    place.write(receipt.archive, b"")
    assert "base/linli-1.age are missing or cut off" in status("--minutes", "0")[1]
    for name in (receipt.archive, receipt.list_of_files):
        place.delete(name)
    code, said = status("--minutes", "0")
    assert code == 1
    assert "base/linli-1.age and base/linli-1.files.gz are missing" in said


def test_a_receipt_that_is_broken_is_named_and_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, now = Place(str(tmp_path)), datetime.now(UTC)
    place.write("base/linli-2.json", b"{")
    named = "base/linli-2.json is no receipt of a backup"
    with pytest.raises(Trouble, match=named):
        contents.find(place, "")
    receipt = receipt_of("linli-1", now, FIRST)
    receipt.sha256 = hashlib.sha256(b"1").hexdigest()
    place.write(receipt.archive, b"1")
    contents.write(place, receipt)
    for command in (["list"], ["status", "--minutes", "0"], ["verify"]):
        done = CliRunner().invoke(app, ["backup", *command, "--to", str(tmp_path)])
        assert (done.exit_code, named in done.output) == (1, True), done.output
        assert command != ["list"] or "linli-1" in done.output
    with pytest.raises(Trouble, match=named):
        take.prune(place, 1, receipt)
    assert chosen(str(tmp_path), None)[1] == receipt
    assert named in capsys.readouterr().err


def test_a_place_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for address in ("s3://", "s3:///", "s3:///prefix", "s3:", "s3:/bucket", "S3://bucket", "backups:linli"):
        with pytest.raises(Trouble, match="neither a folder nor s3"):
            Place(address, make=True)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    Place(f"{tmp_path}/backups:linli/", make=True).write("x", b"1")
    assert (tmp_path / "backups:linli" / "x").exists()
    for address in ("ftp://there/x", str(tmp_path / "nowhere"), str(tmp_path / "file" / "below")):
        with pytest.raises(Trouble):
            Place(address).names()


@pytest.mark.parametrize(
    "contract", [TicketRated, TicketAnswered], ids=["since the first release", "since a later one"]
)
async def test_what_nobody_has_heard_goes_out_again_in_its_order_and_nothing_else(
    stage: Stage, contract: type[Event]
) -> None:
    databases = {service: stage.url("postgres", await stage.fresh_database(service)) for service in SERVICES}

    class Restored:
        def everywhere(self, service: str) -> list[str]:
            return [databases["directory"] if service == "postgres" else databases[service]]

        def url(self, service: str, _: int) -> str:
            return databases[service]

    listeners = [consumer for one in subscriptions() for consumer in one.consumers if contract in consumer.contracts]
    elsewhere, heard, buried, half, unheard, waiting = (uuid4() for _ in range(6))
    row = "310104, $2, 'linli.tickets.310104.rated.v1', '{}', $3"
    headers = json.dumps({"ce-type": contract.type})
    async with connected(databases["tickets"]) as tickets:
        for number, event in enumerate((elsewhere, heard, buried, half, unheard)):
            insert = "INSERT INTO event_log (id, event_id, district, aggregate, subject, payload, headers, created_at)"
            await tickets.execute(f"{insert} VALUES ({number}, $1, {row}, now())", event, str(heard), headers)
        insert = "INSERT INTO outbox (id, event_id, district, aggregate, subject, payload, headers, shard)"
        insert += " OVERRIDING SYSTEM VALUE"
        await tickets.execute(f"{insert} VALUES (5, $1, {row}, 3)", waiting, str(heard), headers)
    for consumer in listeners:
        async with connected(databases[consumer.service]) as database:
            # A service has one inbox for all that a publisher tells, whichever release first listened to it.
            inbox = f"{consumer.service}-tickets"
            for event in [heard, half] if consumer != listeners[-1] else [heard]:
                await database.execute("INSERT INTO inbox VALUES (310104, $1, $2, '2026-01-01')", inbox, event)
            letter = "INSERT INTO dead_letter (district, id, consumer, event_id, subject, headers, payload, error"
            letter += ", deliveries) VALUES (310104, $1, $2, $1, '', '{}', '', '', 8)"
            await database.execute(letter, buried, consumer.name)
    told = await settle(cast("Stores", Restored()))
    assert told["tickets"] == 2
    async with connected(databases["tickets"]) as tickets:
        rows = await tickets.fetch("SELECT event_id, shard FROM outbox ORDER BY id")
        assert [row[0] for row in rows] == [half, unheard, waiting]
        assert rows[0]["shard"] == zlib.crc32(str(heard).encode()) % SHARDS
        assert await tickets.fetchval("SELECT array_agg(event_id ORDER BY id) FROM event_log") == [
            elsewhere,
            heard,
            buried,
        ]
    fresh = []
    for consumer in listeners:
        async with connected(databases[consumer.service]) as database:
            fresh += await database.fetch("SELECT event_id FROM inbox WHERE received_at > now() - interval '1 day'")
    assert [row[0] for row in fresh] == [half] * (len(listeners) - 1), "it must still be known when it comes again"
