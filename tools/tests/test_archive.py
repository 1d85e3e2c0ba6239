import base64
import hashlib
import io
import json
import os
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import asyncpg
import pyrage
import pytest
from pyrage.x25519 import Identity

from linli.events import Event
from linli.events.tickets import TicketAnswered, TicketOpened, TicketRated
from linli.inbox import Subscriptions
from linli.outbox import SHARDS
from linli.testing import Stage
from linli_cli.archive import seal
from linli_cli.archive.order import consumers_first
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores, connected
from linli_cli.archive.tables import Table, broken_references, tables_of
from linli_cli.archive.tape import TapeReader, TapeWriter
from linli_cli.console import Trouble
from linli_cli.district import retell
from linli_cli.district.contents import Header, read_header, verify
from linli_cli.home import Home
from linli_cli.stack.streams import subscriptions

PLAIN = os.urandom(3_000_000)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A private key in a file."""
    made = Identity.generate()
    (tmp_path / "key.txt").write_text(f"# public key: {made.to_public()}\n{made}\n")
    (tmp_path / "recipients").write_text(f"# 归档\n{made.to_public()}\n")
    return tmp_path / "key.txt"


def sealed(lock: Lock, content: bytes = PLAIN) -> bytes:
    target = io.BytesIO()
    with lock.sealing(target) as plain:
        plain.write(content)
    return target.getvalue()


def opened(key: Key, content: bytes) -> bytes:
    with key.opening(io.BytesIO(content)) as plain:
        return plain.read()


def test_what_is_sealed_for_recipients_is_opened_by_their_key_and_by_any_age_tool(identity: Path) -> None:
    content = sealed(Lock.of([], identity.with_name("recipients"), None))
    assert opened(Key.of(identity, None), content) == PLAIN
    own = Identity.from_str(identity.read_text().splitlines()[1])
    assert pyrage.decrypt(content, [own]) == PLAIN


@pytest.mark.timeout(240)  # a passphrase costs a second of the processor each time, which a busy machine has to spare
def test_what_is_sealed_by_a_passphrase_is_opened_by_it_alone(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("一二三四五\n")
    wrong.write_text("六七八九十\n")
    content = sealed(Lock.of([], None, right))
    assert opened(Key.of(None, right), content) == PLAIN
    with pytest.raises(Trouble, match="not its key"):
        opened(Key.of(None, wrong), content)


def test_a_moment_in_which_the_machine_was_busy_does_not_keep_an_archive_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    # Asks for 2**40 steps: more than any machine has time for.
    heavy = (
        b"age-encryption.org/v1\n-> scrypt "
        + b"A" * 22
        + b" 40\n"
        + b"A" * 43
        + b"\n--- "
        + b"A" * 43
        + b"\n"
        + bytes(16)
    )
    busy, tries = [heavy] * 3, 0

    def decrypt(content: bytes, passphrase: str) -> bytes:
        nonlocal tries
        tries += 1
        return pyrage.passphrase.decrypt(busy.pop(), passphrase) if busy else content

    monkeypatch.setattr(seal, "by_passphrase", SimpleNamespace(decrypt=decrypt))
    assert opened(Key((), "一二三四五"), b"whole") == b"whole"
    assert tries == 4
    busy, tries = [heavy] * 100, 0
    with pytest.raises(Trouble, match="Excessive work"):
        opened(Key((), "一二三四五"), b"whole")
    assert tries == 10


def test_a_damaged_archive_is_never_taken_for_a_whole_one(identity: Path) -> None:
    content = sealed(Lock.of([], identity.with_name("recipients"), None))
    key = Key.of(identity, None)
    spoilt = content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]
    for damaged in (content[:-1], content[:1_000_000], spoilt, b"", b"hello"):
        with pytest.raises(Trouble, match="damaged"):
            opened(key, damaged)
    stranger = Key((Identity.generate(),))
    with pytest.raises(Trouble, match="does not open"):
        opened(stranger, content)


def test_an_error_while_writing_or_reading_is_itself_and_nothing_hangs(identity: Path) -> None:
    lock = Lock.of([], identity.with_name("recipients"), None)
    with pytest.raises(KeyError), lock.sealing(io.BytesIO()):
        raise KeyError("mine")
    with pytest.raises(KeyError), Key.of(identity, None).opening(io.BytesIO(sealed(lock))):
        raise KeyError("mine")


def test_a_target_that_is_full_is_named(identity: Path) -> None:
    lock = Lock.of([], identity.with_name("recipients"), None)
    with (
        pytest.raises(Trouble, match=r"No space left"),
        Path("/dev/full").open("wb", buffering=0) as full,
        lock.sealing(full) as plain,
    ):
        plain.write(PLAIN)


def test_keys_are_asked_for_and_never_quoted(identity: Path) -> None:
    with pytest.raises(Trouble, match="--recipient"):
        Lock.of([], None, None)
    with pytest.raises(Trouble, match="--recipient"):
        Lock.of(["age1x"], None, identity)
    secret = identity.read_text().splitlines()[1]
    with pytest.raises(Trouble) as refused:
        Lock.of([secret], None, None)
    assert secret not in str(refused.value)
    with pytest.raises(Trouble, match="--identity-file"):
        Key.of(None, None)


def taped(**documents: object) -> io.BytesIO:
    target = io.BytesIO()
    with TapeWriter(target) as tape:
        for name, content in documents.items():
            tape.document(name, content)
    target.seek(0)
    return target


def test_streams_of_any_size_come_back_as_they_were() -> None:
    target = io.BytesIO()
    with TapeWriter(target) as tape:
        tape.document("first", {"名": 1})
        for name, content in (("large", PLAIN * 3), ("empty", b"")):
            with tape.stream(name) as parts:
                for start in range(0, len(content), 70_000):
                    parts.write(content[start : start + 70_000])
        tape.document("last", [])
    target.seek(0)
    reader = TapeReader(target)
    assert reader.document("first") == {"名": 1}
    assert b"".join(reader.stream("large")) == PLAIN * 3
    assert b"".join(reader.stream("empty")) == b""
    assert reader.document("last") == []
    reader.end()


def test_a_tape_is_read_in_its_order_only() -> None:
    reader = TapeReader(taped(first=1, second=2))
    with pytest.raises(Trouble, match="none of Linli's"):
        reader.document("second")
    with pytest.raises(Trouble, match="none of Linli's"):
        next(reader.stream("first"))
    assert reader.document("first") == 1
    with pytest.raises(Trouble, match="none of Linli's"):
        reader.end()


def test_a_tape_whose_writing_failed_is_no_archive() -> None:
    target = io.BytesIO()
    with pytest.raises(TypeError), TapeWriter(target) as tape:
        tape.document("first", object())
    target.seek(0)
    with pytest.raises(Trouble, match="cut off"):
        TapeReader(target).document("first")


def test_an_archive_of_a_later_format_or_of_something_else_is_refused() -> None:
    with pytest.raises(Trouble, match="has format 3"):
        read_header(TapeReader(taped(header={"kind": "linli district", "format": 3})))
    others: tuple[object, ...] = ({"kind": "backup"}, [], {"kind": "linli district", "format": 2})
    for other in others:
        with pytest.raises(Trouble, match="none of Linli's"):
            read_header(TapeReader(taped(header=other)))


HEADER = Header.model_validate(
    {
        "id": "0198c1de-0000-7000-8000-000000000001",
        "district": 310104,
        "name": "徐汇区",
        "taken_at": "2026-01-01T00:00:00Z",
        "services": {"tickets": {"revision": "0001", "tables": {"ticket": ["district"]}}},
    }
)
ROWS = b"district\n310104\n"
PHOTO = "310104/0a/0198c1de-0000-7000-8000-00000000000a"


def exported(
    files: dict[str, bytes], count: int = 1, rows_digest: str = hashlib.sha256(ROWS).hexdigest()
) -> io.BytesIO:
    """Give an archive of a district with one row and these files, under whatever names."""
    target = io.BytesIO()
    with TapeWriter(target) as tape:
        tape.document("header", json.loads(HEADER.model_dump_json()))
        for name, content in files.items():
            tape.file(f"files/{name}", content)
        tape.document("files", {"count": count, "size": sum(map(len, files.values())), "lost": []})
        with tape.stream("tickets/ticket") as parts:
            parts.write(ROWS)
        table = {"rows": 1, "sha256": rows_digest, "fingerprint": None}
        tape.document("tickets/summary", {"tables": {"ticket": table}})
        tape.document("end", {})
    target.seek(0)
    return target


def digested(name: str, content: bytes = b"photo") -> str:
    return f"{name}.{hashlib.sha256(content).hexdigest()}"


def test_a_table_that_is_not_what_its_digest_says_is_found() -> None:
    assert verify(exported({digested(PHOTO): b"photo"})).files.count == 1
    with pytest.raises(Trouble, match="damaged"):
        verify(exported({digested(PHOTO): b"photo"}, rows_digest="0" * 64))


def test_a_photo_that_is_altered_missing_or_of_elsewhere_is_found() -> None:
    small = {digested(f"{PHOTO}.thumbnail"): b"photo"}
    assert verify(exported({digested(PHOTO): b"photo", **small}, count=2)).files.size == 10
    for files in (
        {digested(PHOTO): b"phot0"},
        {},
        {digested(PHOTO): b"photo", **small},
        {digested(PHOTO.replace("310104", "310105")): b"photo"},
        {digested("310104/../../etc/passwd"): b"photo"},
        {digested(f"310104/0a/../../{'0' * 30}"): b"photo"},
        {PHOTO: b"photo"},
    ):
        with pytest.raises(Trouble, match="damaged"):
            verify(exported(files))


def test_listeners_are_read_before_whom_they_listen_to_and_the_directory_last() -> None:
    services = subscriptions()
    order = consumers_first(services)
    assert sorted(order) == sorted(one.service for one in services)
    assert order[-1] == "directory"
    for one in services:
        for consumer in one.consumers:
            assert order.index(one.service) < order.index(consumer.contracts[0].publisher)
    late = Subscriptions("late")

    @late.on(TicketOpened)
    async def _hear(*_: object) -> None: ...

    assert consumers_first([late, Subscriptions("tickets")]) == ["late", "tickets", "directory"]


_SCHEMA = """
CREATE TABLE parent (district int, id int, twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (district, id));
CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, district int, parent int, note text,
    CONSTRAINT fk_child FOREIGN KEY (district, parent) REFERENCES parent (district, id));
CREATE TABLE unrelated (id int);
CREATE TABLE days (district int, day date) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"""


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator[asyncpg.Connection]:
    """A database with tables of all sorts."""
    admin = await asyncpg.connect(postgres.format(user="postgres", database="postgres"))
    name = f"archive_{uuid4().hex}"
    await admin.execute(f"CREATE DATABASE {name}")
    found = await asyncpg.connect(postgres.format(user="postgres", database=name))
    await found.execute(_SCHEMA)
    yield found
    await found.close()
    await admin.execute(f"DROP DATABASE {name}")
    await admin.close()


async def test_the_catalogue_tells_which_tables_and_columns_hold_a_district(connection: asyncpg.Connection) -> None:
    assert await tables_of(connection) == [
        Table("child", ("district", "parent", "note"), ("id",)),
        Table("days", ("district", "day"), ()),
        Table("parent", ("district", "id"), ("district", "id")),
    ]


async def test_a_fingerprint_is_of_one_districts_rows_in_any_order(connection: asyncpg.Connection) -> None:
    [_, _, parent] = await tables_of(connection)
    await connection.execute("INSERT INTO parent VALUES (1, 1), (1, 2), (2, 2), (2, 1), (3, 1)")
    one, two, three = [await parent.fingerprint(connection, district) for district in (1, 2, 3)]
    assert len({one, two, three, await parent.fingerprint(connection, 4)}) == 4
    await connection.execute("UPDATE parent SET district = 9 WHERE district = 1")
    await connection.execute("INSERT INTO parent VALUES (1, 2), (1, 1)")
    assert await parent.fingerprint(connection, 1) == one


async def test_references_that_loading_passed_by_are_found(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "SET session_replication_role = replica; INSERT INTO parent VALUES (1, 1);"
        " INSERT INTO child (district, parent) VALUES (1, 1), (1, NULL), (2, 1)"
    )
    assert await broken_references(connection, 1) == []
    assert await broken_references(connection, 2) == ["fk_child"]


async def test_the_database_shards_aggregates_as_the_outbox_does(connection: asyncpg.Connection) -> None:
    # Told again by a statement, an event must go the way of its aggregate's others.
    for aggregate in ("310104003", str(uuid4()), "楼"):
        found = await connection.fetchval("SELECT crc32(convert_to($1, 'UTF8')) % $2", aggregate, SHARDS)
        assert found == zlib.crc32(aggregate.encode()) % SHARDS


@pytest.mark.parametrize(
    "contract", [TicketRated, TicketAnswered], ids=["since the first release", "since a later one"]
)
async def test_what_a_listener_had_not_heard_at_home_is_told_again(stage: Stage, contract: type[Event]) -> None:
    databases = {
        service: stage.url("postgres", await stage.fresh_database(service))
        for service in ("tickets", "points", "notifications")
    }

    class Here:
        def url(self, service: str, _: int) -> str:
            return databases[service]

    listeners = [consumer for one in subscriptions() for consumer in one.consumers if contract in consumer.contracts]
    heard, buried, unheard = (uuid4() for _ in range(3))
    for consumer in listeners:
        async with connected(databases[consumer.service]) as database:
            inbox = f"{consumer.service}-tickets"
            await database.execute("INSERT INTO inbox VALUES (310104, $1, $2)", inbox, heard)
            letter = "INSERT INTO dead_letter (district, id, consumer, event_id, subject, headers, payload, error"
            letter += ", deliveries) VALUES (310104, $1, $2, $1, '', '{}', '', '', 8)"
            await database.execute(letter, buried, consumer.name)
    header = Header(id=uuid4(), district=310104, name="徐汇区", taken_at=datetime.now(UTC), services={})
    async with connected(databases["tickets"]) as tickets, tickets.transaction():
        await retell.stage(tickets)
        for number, event in enumerate((heard, buried, unheard)):
            insert = "INSERT INTO staged (id, event_id, district, aggregate, subject, payload, headers, created_at"
            insert += f", published_at) VALUES ({number}, $1, 310104, '', '', '{{}}', $2, now(), now())"
            await tickets.execute(insert, event, json.dumps({"ce-type": contract.type}))
        told = await retell.tell_again(tickets, cast("Stores", Here()), header, "tickets", subscriptions())
        assert told == 1
        assert await tickets.fetchval("SELECT array_agg(event_id) FROM outbox") == [unheard]


def test_a_district_is_looked_for_where_it_lives_and_removed_from_everywhere(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINLI_SHARDS", '{"127.0.0.1:6001": [310104], "127.0.0.1:6002": []}')
    stores = Stores.of(home)
    assert stores.url("tickets", 310104).endswith("@127.0.0.1:6001/tickets")
    assert stores.url("tickets", 310105).endswith(f"@127.0.0.1:{home.postgres_port}/tickets")
    assert stores.url("directory", 310104).endswith(f"@127.0.0.1:{home.postgres_port}/directory")
    assert len(stores.everywhere("tickets")) == 3
    assert len(stores.everywhere("directory")) == 1
    assert home.secret("postgres") not in repr(stores)
    monkeypatch.setenv("LINLI_SHARDS", "{")
    with pytest.raises(Trouble, match="LINLI_SHARDS"):
        Stores.of(home)


def test_from_outside_of_containers_their_databases_are_not_reached(home: Home) -> None:
    (home.root / ".env").write_text("LINLI_PORT=8080\n")
    with pytest.raises(Trouble, match="runs in containers") as refused:
        Stores.of(home)
    assert "docker compose run --rm -T operator district" in refused.value.hint


def test_in_the_operators_container_secrets_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets").mkdir()
    for name, content in {
        "postgres": "p@ss",
        "admin_nats_url": "nats://admin:x@nats:4222\n",
        "master_key": base64.b64encode(bytes(32)).decode(),
    }.items():
        (tmp_path / "secrets" / name).write_text(content)
    monkeypatch.setenv("LINLI_HOME", str(tmp_path))
    monkeypatch.setenv("LINLI_URL", "http://gateway:8080/")
    monkeypatch.delenv("LINLI_SHARDS", raising=False)
    home = Home.find()
    home.require()
    assert home.url == "http://gateway:8080"
    stores = Stores.of(home)
    assert stores.broker == "nats://admin:x@nats:4222"
    assert stores.url("points", 310104) == "postgresql://postgres:p%40ss@postgres:5432/points"
