"""Photos and files of tickets in backups, in a folder and in an S3 store: sealed, sent once, found again, named."""

import base64
import gzip
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from pyrage.x25519 import Identity
from typer.testing import CliRunner

from linli.crypto import MasterKeys
from linli.models import uuid7
from linli.shards import Shards
from linli.testing import Stage
from linli_cli.archive.files import Object
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores, connected
from linli_cli.backup import contents, files, new_files, proof, take
from linli_cli.backup.contents import PRIMARY, Receipt, Server
from linli_cli.backup.take import Source
from linli_cli.console import Trouble
from linli_cli.district.contents import MARK
from linli_cli.main import app
from tickets.files import THUMBNAIL
from tickets.models.files import object_name

XUHUI, MINHANG = 310104, 310112
ROW = """
INSERT INTO ticket_file (district, id, unit, ticket_id, reporter, slot, uploader, kind, size, width, height, added_at,
    version) VALUES ($1, $2, $1::int::bigint * 1000000000000, $2, $2, 1, $2, $3, $4, $5, $5, now(), 1)"""
BEGAN = datetime(2026, 11, 22, 2, tzinfo=UTC)


@dataclass
class Tickets:
    """The tickets service's database and its files."""

    url: str
    connection: asyncpg.Connection
    store: Place

    @property
    def stores(self) -> Stores:
        """As commands see them."""
        return cast("Stores", self)

    def everywhere(self, service: str) -> list[str]:
        assert service == "tickets"
        return [self.url]

    @property
    def files(self) -> Place:
        return self.store

    async def add(self, content: bytes, district: int = XUHUI, *, photo: bool = False, id: UUID | None = None) -> str:  # noqa: A002 the column
        """Keep a file as the service does: its content, then its row."""
        name = object_name(district, id or uuid7())
        self.store.write(name, content)
        if photo:
            self.store.write(name + THUMBNAIL, b"small " + content)
        kind, width = ("jpeg", 640) if photo else ("pdf", None)
        await self.connection.execute(ROW, district, UUID(name.rpartition("/")[2]), kind, len(content), width)
        return name

    async def remove(self, name: str) -> None:
        await self.connection.execute(
            "UPDATE ticket_file SET slot = NULL, removed_at = now(), removed_by = id WHERE id = $1",
            UUID(name.rpartition("/")[2]),
        )


@pytest.fixture
async def tickets(stage: Stage, place: Place, s3: str, tmp_path: Path) -> AsyncIterator[Tickets]:
    """The real tables, and a store of the other kind than the backups'."""
    url = stage.url("postgres", await stage.fresh_database("tickets"))
    elsewhere = str(tmp_path / "files") if place.address.startswith("s3") else f"{s3}/files-{uuid4()}"
    async with connected(url) as connection:
        await connection.execute("SET session_replication_role = replica")  # no tickets, no units
        yield Tickets(url, connection, Place(elsewhere, make=True))


async def taken(tickets: Tickets, place: Place, lock: Lock, name: str, began: datetime = BEGAN) -> Receipt:
    """Take a backup of the files alone."""
    found = await files.take(tickets.stores, place, lock, name, began)
    facts = {"version": "0", "size": 1, "sha256": "", "secrets": True, "started_at": began, "finished_at": began}
    server = Server(system="1", pieces=["000000010000000000000003"], rows={})
    receipt = Receipt.model_validate({"name": name, "files": found, "servers": {PRIMARY: server}, **facts})
    place.write(receipt.archive, b"sealed")
    contents.write(place, receipt)
    return receipt


def kept(place: Place, name: str = "") -> list[str]:
    return [found for found in place.names("files") if name in found]


async def test_files_are_sealed_and_sent_once(tickets: Tickets, place: Place, key: tuple[Lock, Key]) -> None:
    photo, pdf = await tickets.add(b"photo", photo=True), await tickets.add(b"pdf", MINHANG)
    tickets.store.write(object_name(XUHUI, uuid7()), b"no row came to it")
    first = await taken(tickets, place, key[0], "linli-1")
    assert first.files
    assert (first.files.count, first.files.new, first.files.lost) == (3, 3, [])
    there = kept(place)
    assert len(there) == 3
    assert all(place.read(name).startswith(b"age-encryption.org/v1") for name in there)
    [sealed] = kept(place, pdf)
    assert key[1].opened(place.read(sealed)) == b"pdf"
    assert files.check(place, first, key[1]) == []

    second = await taken(tickets, place, key[0], "linli-2")
    assert second.files
    assert (second.files.count, second.files.new) == (3, 0)
    assert kept(place) == there
    third = await tickets.add(b"third")
    again = await taken(tickets, place, key[0], "linli-3")
    assert again.files
    assert (again.files.count, again.files.new) == (4, 1)
    assert set(kept(place)) - set(there) == set(kept(place, third))
    assert photo in there[0] + there[1] + there[2]


async def test_what_is_nowhere_is_named_and_what_was_removed_is_not(
    tickets: Tickets, place: Place, key: tuple[Lock, Key]
) -> None:
    gone, cut, removed, swept = [await tickets.add(text) for text in (b"gone", b"cut off", b"removed", b"swept")]
    await tickets.remove(removed)
    await tickets.remove(swept)
    for name in (gone, swept):
        tickets.store.delete(name)
    tickets.store.write(cut, b"cut")
    receipt = await taken(tickets, place, key[0], "linli-1", datetime.now(UTC) - timedelta(minutes=1))
    assert receipt.files
    assert sorted(receipt.files.lost) == sorted([gone, cut])
    assert receipt.files.count == 1, "it was removed while the databases were read"
    assert kept(place) == kept(place, removed)
    later = await taken(tickets, place, key[0], "linli-2", datetime.now(UTC) + timedelta(minutes=1))
    assert later.files
    assert later.files.count == 0


async def test_what_is_altered_or_missing_is_found_without_the_key(
    tickets: Tickets, place: Place, key: tuple[Lock, Key]
) -> None:
    names = [await tickets.add(bytes([number]) * 100) for number in range(4)]
    receipt = await taken(tickets, place, key[0], "linli-1")
    altered, missing, swapped, _ = [kept(place, name)[0] for name in names]
    sealed = place.read(altered)
    place.write(altered, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    place.write(swapped, place.read(missing))
    place.delete(missing)
    for opens in (None, key[1]):
        assert sorted(files.check(place, receipt, opens)) == sorted(names[:3])
    with pytest.raises(Trouble, match="does not open"):
        files.check(place, receipt, Key((Identity.generate(),)))
    later = await tickets.add(b"later")
    await taken(tickets, place, key[0], "linli-2")
    place.write(kept(place, later)[0], b"?")
    assert later in files.check(place, receipt, None), "also what came since"
    place.write(receipt.list_of_files, b"?")
    with pytest.raises(Trouble, match="is not what was written"):
        files.check(place, receipt, None)


async def test_files_go_with_the_last_backup_that_needs_them(
    tickets: Tickets, place: Place, key: tuple[Lock, Key]
) -> None:
    early, always = await tickets.add(b"early"), await tickets.add(b"always")
    await taken(tickets, place, key[0], "linli-1")
    await tickets.remove(early)
    between = await tickets.add(b"between two backups")
    list(files.send(place, key[0], tickets.store, [Object(between, None)]))
    await tickets.remove(between)
    newest = await taken(tickets, place, key[0], "linli-2", datetime.now(UTC) + timedelta(hours=1))
    assert take.prune(place, 2, newest) == []
    assert len(kept(place)) == 3, "a time between the two may be restored"
    assert [one.name for one in take.prune(place, 1, newest)] == ["linli-1"]
    assert kept(place) == kept(place, always)
    [receipt] = contents.receipts(place)
    assert files.check(place, receipt, key[1]) == []
    assert place.names("base") == ["base/linli-2.age", "base/linli-2.files.gz", "base/linli-2.json"]


async def test_files_come_back_and_each_that_does_not_is_named(
    tickets: Tickets, place: Place, key: tuple[Lock, Key], tmp_path: Path
) -> None:
    photo, altered, missing = [await tickets.add(text, photo=text == b"photo") for text in (b"photo", b"two", b"six")]
    removed = await tickets.add(b"removed")
    await taken(tickets, place, key[0], "linli-1")
    await tickets.remove(removed)
    place.write(kept(place, altered)[0], place.read(kept(place, missing)[0]))
    place.delete(kept(place, missing)[0])
    tickets.store = Place(str(tmp_path / "restored"), make=True)
    with pytest.raises(Trouble, match="does not open"):
        await files.put_back(tickets.stores, place, Key((Identity.generate(),)))
    assert await files.put_back(tickets.stores, place, key[1]) == 2
    assert tickets.store.names() == [photo, photo + THUMBNAIL]
    assert (tickets.store.read(photo), tickets.store.read(photo + THUMBNAIL)) == (b"photo", b"small photo")
    finding = await proof._files(tickets.stores)
    assert not finding.well
    assert finding.found.startswith("2 of 4 are missing: ")
    assert {altered, missing} == set(finding.found.partition(": ")[2].split(", "))
    for name, content in ((altered, b"two"), (missing, b"six")):
        tickets.store.write(name, content)
    assert await proof._files(tickets.stores) == proof.Finding("files 附件", "4 are there", well=True)
    tickets.store.write(photo, b"of another size")
    assert photo in (await proof._files(tickets.stores)).found


async def test_for_another_recipient_all_is_sent_anew_and_each_key_opens_its_own(
    tickets: Tickets, place: Place, key: tuple[Lock, Key], tmp_path: Path
) -> None:
    name = await tickets.add(b"photo")
    first = await taken(tickets, place, key[0], "linli-1")
    identity = Identity.generate()
    other = Lock((identity.to_public(),)), Key((identity,))
    second = await taken(tickets, place, other[0], "linli-2")
    assert second.files
    assert second.files.new == 1
    for receipt, opens in ((first, key[1]), (second, other[1])):
        assert files.check(place, receipt, opens) == []
        tickets.store = Place(str(tmp_path / receipt.name), make=True)
        assert await files.put_back(tickets.stores, place, opens) == 1
        assert tickets.store.read(name) == b"photo"
    older = await tickets.add(b"older")
    list(files.send(place, key[0], tickets.store, [Object(older, 5)]))
    assert await files.put_back(tickets.stores, place, other[1]) == 1, "the rest comes back all the same"
    await tickets.remove(name)
    with pytest.raises(Trouble, match="does not open"):
        await files.put_back(tickets.stores, place, other[1])


def at(time: datetime) -> UUID:
    """Give an id that was made at a time."""
    return UUID(int=int(time.timestamp() * 1000) << 80 | uuid4().int % 2**60)


async def test_the_log_brings_new_files_along(tickets: Tickets, place: Place, key: tuple[Lock, Key]) -> None:
    now = datetime.now(UTC)
    old = await tickets.add(b"old", id=at(now - timedelta(hours=3)))
    slow = await tickets.add(b"it took half an hour to come", id=at(now - timedelta(minutes=30)))
    source = Source(PRIMARY, "", {"tickets": tickets.url})
    keeper = new_files.NewFiles(source, place, key[0], tickets.store)
    await keeper.keep(now)
    assert len(kept(place)) == len(kept(place, slow)) == 1
    new = await tickets.add(b"photo", photo=True)
    await keeper.keep(now)
    assert len(kept(place, new)) == 2

    lost = await tickets.add(b"lost")
    tickets.store.delete(lost)
    for _ in range(2):
        with pytest.raises(Trouble, match=f"are nowhere: {lost}"):
            await keeper.keep(now)
    await tickets.remove(lost)
    await keeper.keep(now)

    taken_in = await tickets.add(b"of elsewhere", MINHANG, id=at(now - timedelta(days=300)))
    await keeper.keep(now)
    assert not kept(place, taken_in)
    mark = "INSERT INTO inbox (district, consumer, event_id) VALUES ($1, $2, $3)"
    await tickets.connection.execute(mark, MINHANG, MARK, uuid4())
    await keeper.keep(now)
    assert kept(place, taken_in)
    assert not kept(place, old)


async def test_where_files_are_must_be_said_once_there_are_any(
    tickets: Tickets, place: Place, key: tuple[Lock, Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Stores("", MasterKeys(base64.b64encode(bytes(32)).decode()), Shards(), "", "")
    monkeypatch.setattr(Tickets, "files", property(lambda _: nowhere.files))
    receipt = await taken(tickets, place, key[0], "linli-1")
    assert receipt.files
    assert receipt.files.count == 0
    await tickets.add(b"pdf")
    with pytest.raises(Trouble, match="LINLI_FILES"):
        await taken(tickets, place, key[0], "linli-2")
    assert [one.name for one in contents.receipts(place)] == ["linli-1"]


def test_whoever_watches_is_told_of_files(place: Place) -> None:
    def said(command: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["backup", command, "--to", place.address])
        return done.exit_code, " ".join(done.output.split())

    def write(lost: list[str], count: int) -> None:
        now = datetime.now(UTC)
        digest = hashlib.sha256(gzip.compress(b"", mtime=0)).hexdigest()
        found = contents.Files(count=count, new=0, sealed_for="", sha256=digest, lost=lost)
        facts = {"version": "0", "size": 6, "sha256": hashlib.sha256(b"sealed").hexdigest(), "secrets": True}
        times = {"started_at": now, "finished_at": now}
        receipt = Receipt.model_validate({"name": "linli-1", "files": found, "servers": {}, **facts, **times})
        place.write(receipt.archive, b"sealed")
        place.write(receipt.list_of_files, gzip.compress(b"", mtime=0))
        contents.write(place, receipt)

    write([], 1234)
    assert said("status") == (0, "✓ linli-1, 1,234 files 附件")
    assert "1,234" in said("list")[1]
    assert said("verify")[0] == 0
    altered = f"files/{XUHUI}/0a/photo.12345678.{'0' * 64}.age"
    place.write(altered, b"other")
    code, words = said("verify")
    assert code == 1
    assert f"1 files are missing or altered: {XUHUI}/0a/photo." in words
    write([f"{XUHUI}/0a/photo"], 1)
    code, words = said("status")
    assert code == 1
    assert f"1 files were nowhere, such as {XUHUI}/0a/photo" in words
