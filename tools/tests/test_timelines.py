"""Restores of a real database server where a copy's log lies beside the platform's, each on its timeline (时间线)."""

import asyncio
import base64
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest

from linli.crypto import MasterKeys
from linli.shards import Shards
from linli.testing import eventually, free_port, tcp_postgres
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores, connected
from linli_cli.backup import afterwards, contents, keeper, reached, segments, take, wal
from linli_cli.backup.contents import PRIMARY, Receipt
from linli_cli.backup.lay import Point, into_folder, lay
from linli_cli.backup.opened import Backup
from linli_cli.backup.restore import chosen
from linli_cli.console import Trouble
from linli_cli.home import SERVICES, Home
from linli_cli.stack import database

pytestmark = pytest.mark.timeout(300)  # each starts several servers

_TABLES = """
CREATE TABLE ticket AS SELECT 1 AS id;
CREATE TABLE outbox AS SELECT 1 AS id;
CREATE TABLE inbox (district int, consumer text, received_at timestamptz);
CREATE TABLE ticket_file (district int, id uuid, size bigint, width bigint, removed_at timestamptz)"""


def source(address: str) -> take.Source:
    url = f"postgresql://postgres@{address}"
    return take.Source(PRIMARY, f"{url}/postgres", {service: f"{url}/{service}" for service in SERVICES})


class Servers:
    """The platform's database server, and what is restored of it; all keep their log in one place."""

    def __init__(self, place: Place, key: tuple[Lock, Key], files: Place, platform: str) -> None:
        self.place, self.key, self.files = place, key, files
        self.platform = source(platform)
        # Not under pytest's folder, which is closed to the user that the database runs as.
        self.root = Path(mkdtemp(prefix="linli-timelines-"))
        self.root.chmod(0o711)
        self._running: list[Path] = []

    async def tell(self, server: take.Source, *numbers: int) -> list[datetime]:
        """Write rows while the log is kept, and tell when each was there."""
        receiver = keeper.Receiver(server, self.place, self.key[0], Path(mkdtemp(dir=self.root)), self.files)
        async with connected(server.services["tickets"]) as connection:
            system, timeline = await reached.who(connection)
            await asyncio.to_thread(receiver.round)
            times = []
            for number in numbers:
                await connection.execute("INSERT INTO ticket VALUES ($1)", number)
                times.append(await connection.fetchval("SELECT clock_timestamp()"))
                await connection.execute("SELECT pg_switch_wal()")
            await connection.execute(
                "INSERT INTO inbox DEFAULT VALUES"
            )  # a time is found where something comes after it
            last = await connection.fetchval("SELECT clock_timestamp()")

            async def kept() -> bool:
                await asyncio.to_thread(receiver.round)
                found = reached.read(self.place, system)
                return bool(found and found.timeline == timeline and found.until > last)

            await eventually(kept, within=60, every=0.1)
            await asyncio.to_thread(receiver.finish)
            return times

    async def restore(self, receipt: Receipt, point: Point) -> tuple[take.Source, list[int]]:
        """Restore a backup, start what was restored, and tell which rows it has."""
        folder = Path(mkdtemp(prefix="restored-", dir=self.root))
        lay(Backup(self.place, receipt, self.key[1]), PRIMARY, point, into_folder(folder))
        database.hand_over(folder)
        self._running.append(folder)
        port = free_port()
        self._control(folder, "-w", "-o", f'-h 127.0.0.1 -p {port} -k ""', "start")
        restored = source(f"127.0.0.1:{port}")
        await afterwards._followed(restored.url, 60)
        async with connected(restored.services["tickets"]) as connection:
            return restored, [row[0] for row in await connection.fetch("SELECT id FROM ticket ORDER BY 1")]

    def end(self) -> None:
        for folder in self._running:
            self._control(folder, "-m", "immediate", "stop")
        shutil.rmtree(self.root)

    @staticmethod
    def _control(folder: Path, *options: str) -> None:
        user = database.system_user() or None
        subprocess.run(
            [database.PROGRAMS / "bin" / "pg_ctl", "-D", folder, *options],
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )


@pytest.fixture
async def servers(
    home: Home, key: tuple[Lock, Key], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Servers, Callable[[], Receipt]]]:
    monkeypatch.setattr(reached, "_FRESH", timedelta(0))  # nobody waits five minutes
    home.master_key()
    home.secret("postgres")
    place = Place(str(tmp_path / "there"), make=True)
    with tcp_postgres() as server:
        url = f"postgresql://postgres@{server.address}"
        async with connected(f"{url}/postgres") as connection:
            for service in SERVICES:
                await connection.execute(f"CREATE DATABASE {service}")
        async with connected(f"{url}/tickets") as connection:
            await connection.execute(_TABLES)
        keys = MasterKeys(base64.b64encode(bytes(32)).decode())
        stores = Stores("", keys, Shards(), f"{url}/postgres", str(tmp_path / "files"))
        found = Servers(place, key, stores.files, server.address)

        def taken() -> Receipt:
            return asyncio.run(take.take(home, stores, place, key[0], secrets=True))

        try:
            yield found, taken
        finally:
            found.end()


async def test_a_platform_is_restored_from_its_own_log_though_a_copys_lies_beside_it(
    servers: tuple[Servers, Callable[[], Receipt]],
) -> None:
    there, taken = servers
    first = await asyncio.to_thread(taken)
    at, _ = await there.tell(there.platform, 2, 3)
    drill, rows = await there.restore(first, Point(at))
    assert rows == [1, 2]
    await there.tell(drill, 666)
    await there.tell(there.platform, 4, 5)
    second = await asyncio.to_thread(taken)
    assert contents.own(there.place) == [first, second]
    for receipt in (first, second):
        restored, rows = await there.restore(receipt, Point())
        assert rows == [1, 2, 3, 4, 5]
        async with connected(restored.url) as connection:
            assert (await reached.who(connection))[1] == 3, "the drill has had 2"
    server = first.server(PRIMARY)
    last = [name for name in wal.later(there.place, server) if segments.is_piece(name)][-1]
    assert segments.timeline(last) == 1
    there.place.delete(wal.path(server.system, last))
    assert wal.gap(there.place, server) == [last]


async def test_what_was_after_the_time_that_a_platform_was_restored_to_can_still_be_restored(
    servers: tuple[Servers, Callable[[], Receipt]],
) -> None:
    there, taken = servers
    first = await asyncio.to_thread(taken)
    at, later = await there.tell(there.platform, 2, 3)
    drill, _ = await there.restore(first, Point(at))
    [between] = await there.tell(drill, 666)
    restored, rows = await there.restore(first, Point(at))
    assert rows == [1, 2]
    [again] = await there.tell(restored, 4)
    for point, expected in ((Point(), [1, 2, 4]), (Point(again), [1, 2, 4]), (Point(later), [1, 2, 3])):
        assert (await there.restore(first, point))[1] == expected
    assert wal.gap(there.place, first.server(PRIMARY)) == []
    with pytest.raises(Trouble, match="leads to what is kept now"):
        await there.restore(first, Point(between))
    # A version that did not say so had kept the log of before.
    system = first.server(PRIMARY).system
    found = reached.read(there.place, system)
    assert found
    assert found.before
    reached.write(there.place, system, found.model_copy(update={"before": dict.fromkeys(found.before)}))
    for time, expected in ((again, [1, 2, 4]), (later, [1, 2, 3])):
        assert (await there.restore(first, Point(time)))[1] == expected


async def test_a_backup_from_after_the_time_that_a_platform_was_restored_to_is_followed_by_itself(
    servers: tuple[Servers, Callable[[], Receipt]],
) -> None:
    there, taken = servers
    first = await asyncio.to_thread(taken)
    at, _ = await there.tell(there.platform, 2, 3)
    nightly = await asyncio.to_thread(taken)
    await there.tell(there.platform, 4)
    assert contents.own(there.place) == [first, nightly]
    restored, _ = await there.restore(first, Point(at))
    [later] = await there.tell(restored, 5)
    assert contents.own(there.place) == [first]
    assert [chosen(there.place.address, time)[1] for time in (None, later)] == [first, first]
    assert (await there.restore(first, Point()))[1] == [1, 2, 5]
    server = nightly.server(PRIMARY)
    assert reached.until(there.place, server.system, server.timeline, server.end) is None
    assert (await there.restore(nightly, Point()))[1] == [1, 2, 3, 4]


async def test_a_backup_that_a_platform_was_restored_from_by_itself_leads_to_what_came_then(
    servers: tuple[Servers, Callable[[], Receipt]],
) -> None:
    there, taken = servers
    first = await asyncio.to_thread(taken)
    await there.tell(there.platform, 2)
    restored, rows = await there.restore(first, Point(alone=True))
    assert rows == [1]
    await there.tell(restored, 3)
    assert contents.own(there.place) == [first]
    assert (await there.restore(first, Point()))[1] == [1, 3]
