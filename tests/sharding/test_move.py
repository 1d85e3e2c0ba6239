"""A district moves to another database server: exported, removed, taken in under a new map of districts."""

import base64
import io
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from uuid import uuid4

import nats
import pytest

from linli.bootstrap import logins, provision
from linli.crypto import MasterKeys
from linli.migrate import upgrade_async
from linli.shards import Shards
from linli.streams import ensure_streams
from linli.testing import NatsServer, tcp_postgres
from linli_cli.archive import files as archive_files
from linli_cli.archive.stores import Stores, connected
from linli_cli.district.contents import Contents, verify
from linli_cli.district.export import export
from linli_cli.district.load import load
from linli_cli.district.remove import Removed, changed_since, remove, what_is_left
from linli_cli.home import SERVICES
from linli_cli.stack.streams import subscriptions
from tickets.files import THUMBNAIL
from tickets.models.files import object_name

pytestmark = pytest.mark.xdist_group("two servers")

MOVED, STAYS = 310104, 310115
FILES = {district: uuid4() for district in (MOVED, STAYS)}
CONTENT = b"a photo"
_MASTER = base64.b64encode(bytes(32)).decode()
_PASSWORDS = {login: "test" for service in SERVICES for login in logins(service)}


async def settle(url: str, service: str, district: int) -> None:
    """Put a few rows of a district into a service's database."""
    async with connected(url) as connection:
        unit = district * 10**12
        if service == "directory":
            await connection.execute("INSERT INTO unit (district, unit, name) VALUES ($1, $2, '区')", district, unit)
            return
        known = "INSERT INTO known_unit VALUES ($1, $2, 'district', '区', true, 1)"
        await connection.execute(known, district, unit)
        if service == "residents":
            for key in (0, 1):
                wrapped = MasterKeys(_MASTER).wrap(district, key, bytes([key]) * 32)
                await connection.execute("INSERT INTO data_key VALUES ($1, $2, $3)", district, key, wrapped)
        if service == "tickets":
            columns = "district, id, unit, title, description, category, state, reporter, opened_at, version"
            values = "$1, $2, $3, '路灯', '', 'other', 'open', $2, now(), 1"
            insert = f"INSERT INTO ticket ({columns}) VALUES ({values})"
            ticket = uuid4()
            await connection.execute(insert, district, ticket, unit)
            columns = (
                "district, id, unit, ticket_id, reporter, slot, uploader, kind, size, width, height, added_at, version"
            )
            values = "$1, $2, $3, $4, $4, 1, $4, 'jpeg', $5, 640, 480, now(), 1"
            insert = f"INSERT INTO ticket_file ({columns}) VALUES ({values})"
            await connection.execute(insert, district, FILES[district], unit, ticket, len(CONTENT))


@pytest.fixture(scope="module", params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where files are kept."""
    if request.param == "folder":
        return str(tmp_path_factory.mktemp("files"))
    s3: str = request.getfixturevalue("s3")
    return f"{s3}/tickets"


@pytest.fixture(scope="module")
async def maps(nats_server: NatsServer, files: str) -> AsyncIterator[tuple[Stores, Stores]]:
    """One platform on two servers, before and after its map was changed; both districts begin on the first."""
    client = await nats.connect(nats_server.url)
    await ensure_streams(client.jetstream(), subscriptions())
    await client.close()
    with ExitStack() as servers:
        first, second = (servers.enter_context(tcp_postgres()).address for _ in range(2))
        for address in (first, second):
            await provision(f"postgresql://postgres@{address}/postgres", SERVICES, _PASSWORDS)
            for service in SERVICES:
                await upgrade_async(service, f"postgresql://{service}_owner:test@{address}/{service}")
        superuser = f"postgresql://postgres@{first}/postgres"
        before, after = (
            Stores(nats_server.url, MasterKeys(_MASTER), Shards.parse(f'{{"{second}": {districts}}}'), superuser, files)
            for districts in ([], [MOVED])
        )
        for district in (MOVED, STAYS):
            for service in ("directory", "residents", "tickets"):
                await settle(before.url(service, district), service, district)
            for ending in ("", THUMBNAIL):
                before.files.write(object_name(district, FILES[district]) + ending, CONTENT)
        yield before, after


async def tickets(url: str) -> list[int]:
    async with connected(url) as connection:
        return [row[0] for row in await connection.fetch("SELECT district FROM ticket ORDER BY 1")]


async def test_a_district_moves_whole_and_leaves_nothing_behind(maps: tuple[Stores, Stores], files: str) -> None:
    before, after = maps
    archive = io.BytesIO()
    await export(before, MOVED, archive)
    contents = _verified(archive)
    assert (contents.files.count, contents.files.size, contents.files.lost) == (2, 2 * len(CONTENT), [])
    store = before.files
    here = {district: store.names(str(district)) for district in (MOVED, STAYS)}
    assert len(here[MOVED]) == len(here[STAYS]) == 2
    await _is_held_against_its_export(before, archive)
    removed = Removed()
    await remove(before, MOVED, removed)
    assert removed["tickets", "ticket"] == removed["directory", "unit"] == 1
    assert removed[archive_files.FILES] == 2
    left = await what_is_left(before, MOVED)
    assert left.total() == left[archive_files.FILES] == 0
    assert store.names() == here[STAYS]
    assert files.startswith("s3") or os.listdir(files) == [str(STAYS)]  # noqa: PTH208 one folder, no waiting
    assert await changed_since(before, contents) == []
    archive.seek(0)
    loaded = await load(after, archive)
    assert loaded.files.lost == []
    assert store.names() == sorted(here[MOVED] + here[STAYS])
    assert {store.read(name) for name in here[MOVED]} == {CONTENT}
    assert await tickets(after.url("tickets", MOVED)) == [MOVED]
    assert await tickets(before.url("tickets", MOVED)) == [STAYS]
    async with connected(after.url("directory", MOVED)) as connection:
        assert await connection.fetchval("SELECT count(*) FROM unit WHERE district = $1", MOVED) == 1
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE district = $1", MOVED) == 1
    async with connected(after.url("residents", MOVED)) as connection:
        for key, wrapped in await connection.fetch("SELECT id, wrapped FROM data_key"):
            assert after.master.unwrap(MOVED, key, wrapped) == bytes([key]) * 32


def _verified(archive: io.BytesIO) -> Contents:
    archive.seek(0)
    return verify(archive)


async def _is_held_against_its_export(stores: Stores, archive: io.BytesIO) -> None:
    """A photo that was away while others were exported is lost by name, and stops the removal once it is back."""
    contents, store, name = _verified(archive), stores.files, object_name(MOVED, FILES[MOVED])
    assert await changed_since(stores, contents) == []
    store.delete(name)
    assert await changed_since(stores, contents) == ["tickets.LINLI_FILES"]
    without = io.BytesIO()
    assert (await export(stores, MOVED, without)).files.lost == [name]
    assert await changed_since(stores, _verified(without)) == []
    store.write(name, CONTENT)
    assert await changed_since(stores, _verified(without)) == ["tickets.LINLI_FILES"]
    assert await changed_since(stores, contents) == []


async def test_a_district_that_was_left_behind_on_another_server_is_found(maps: tuple[Stores, Stores]) -> None:
    before, after = maps
    await settle(after.url("points", MOVED), "points", MOVED)
    removed = Removed()
    await remove(before, MOVED, removed)  # by a map that does not know of the second server's rows
    assert removed["points", "known_unit"] == 1
    assert (await what_is_left(after, MOVED)).total() == 0
    assert (await what_is_left(before, STAYS))["tickets", "ticket"] == 1
