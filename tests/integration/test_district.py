"""A district's life: taken on, exported while it is in use, removed, and taken in on another platform."""

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import nats
import psutil
import pytest
from tests.integration.conftest import LINLI, SERVICES, Platform, _free_range

pytestmark = [pytest.mark.xdist_group("districts"), pytest.mark.timeout(300)]

DISTRICT = "640104"
COMMUNITY = "640104001002"
SEED = ("--households", "20", "--grids", "1", "--micro-grids", "2")
NEIGHBOUR = "530181"
XUHUI = "310104"
"""Has 14 streets."""
_TABLES = """
SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
AND NOT relispartition AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'district')"""


@pytest.fixture(scope="module")
def platforms() -> Iterator[tuple[Platform, Platform]]:
    """Two platforms, empty, each with secrets of its own."""
    found = []
    for port in (_free_range(), _free_range()):
        home = Path(tempfile.mkdtemp(prefix="linli-"))
        home.chmod(0o711)
        found.append(Platform(f"http://127.0.0.1:{port}", home, port))
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.linli("up", "--empty", timeout=300), found))
        yield found[0], found[1]
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.linli("down", check=False), found))
        for one in found:
            shutil.rmtree(one.home, ignore_errors=True)


@pytest.fixture(scope="module")
def here(platforms: tuple[Platform, Platform]) -> Platform:
    return platforms[0]


@pytest.fixture(scope="module")
def there(platforms: tuple[Platform, Platform]) -> Platform:
    return platforms[1]


def processes(here: Platform, *names: str) -> dict[str, psutil.Process]:
    """Find a platform's services."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINLI_STACK") != str(here.home):
                continue
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        found.update({name: process for name in names if f"{name}.app:create_app" in command})
    assert found.keys() == set(names)
    return found


async def rows(here: Platform, district: str, *, without: bool = False) -> dict[tuple[str, str], tuple[int, str]]:
    """Give number and digest of a district's rows by service and table, or of all others'."""
    found = {}
    for service in SERVICES:
        async with here.database(service) as database:
            for (table,) in await database.fetch(_TABLES):
                query = f"SELECT count(*), coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} t"
                where = f" WHERE district {'<>' if without else '='} $1"
                found[service, table] = tuple(await database.fetchrow(query + where, int(district)))
    return found


async def messages(here: Platform, district: str) -> int:
    """Count a district's messages in all streams."""
    password = (here.home / "secrets" / "nats_admin").read_text()
    client = await nats.connect(f"nats://admin:{password}@127.0.0.1:{here.port + 21}")
    try:
        count = 0
        js = client.jetstream()
        for one in await js.streams_info():
            info = await js.stream_info(str(one.config.name), subjects_filter=f"linli.*.{district}.>")
            count += sum((info.state.subjects or {}).values())
        return count
    finally:
        await client.close()


def secrets_of(here: Platform, district: str) -> dict[str, dict[str, str]]:
    """Read the secrets that `district add` has kept, by unit."""
    kept = json.loads((here.home / "secrets" / f"district-{district}.json").read_text())
    return {one["unit"]: one for one in kept["clients"]}


@asynccontextmanager
async def signed_in(here: Platform, client: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Call with an app's own id and secret."""
    async with httpx.AsyncClient(base_url=here.url, timeout=30, trust_env=False) as http:
        form = {"grant_type": "client_credentials"} | {name: client[name] for name in ("client_id", "client_secret")}
        answer = await http.post("/directory/oauth/token", data=form)
        assert answer.status_code == 200, answer.text
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield http


async def eventually(check: Callable[[], Awaitable[bool]], within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not await check():  # noqa: ASYNC110 there is nothing that would wake us
            await asyncio.sleep(0.1)


def test_a_district_of_14_streets_is_taken_on_and_nothing_is_restarted(there: Platform) -> None:
    before = {name: process.pid for name, process in processes(there, *SERVICES).items()}
    first = there.linli("district", "add", XUHUI)
    assert f"{XUHUI} 徐汇区: 14 streets 街道, 313 communities 社区 · 328 units made" in first.stdout
    assert "15 clients made" in first.stdout
    kept = there.home / "secrets" / f"district-{XUHUI}.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secrets = kept.read_text()
    assert not any(one["client_secret"] in first.stdout + first.stderr for one in json.loads(secrets)["clients"])
    again = there.linli("district", "add", XUHUI)
    assert "0 units made" in again.stdout
    assert "0 clients made" in again.stdout
    assert kept.read_text() == secrets
    assert {name: process.pid for name, process in processes(there, *SERVICES).items()} == before


async def test_each_of_its_streets_signs_in_and_is_known_to_every_service(there: Platform) -> None:
    there.linli("district", "add", XUHUI)
    clients = secrets_of(there, XUHUI)
    assert sorted(map(len, clients)) == [6] + 14 * [9]
    for unit, client in clients.items():
        async with signed_in(there, client) as street:
            for service in ("residents", "tickets", "points", "bookings"):
                known = (await street.get(f"/{service}/v1/known-units", params={"within": unit})).json()["items"]
                assert unit in {one["code"] for one in known}


async def test_lost_secrets_are_made_anew_only_when_asked(there: Platform, tmp_path: Path) -> None:
    there.linli("district", "add", "120103")
    before = secrets_of(there, "120103")
    elsewhere = tmp_path / "clients.json"
    silent = there.linli("district", "add", "120103", "--secrets", str(elsewhere))
    assert "The secrets of 15 clients are not in" in silent.stderr
    assert json.loads(elsewhere.read_text())["clients"] == []
    printed = json.loads(there.linli("district", "add", "120103", "--secrets", "-", "--new-secrets").stdout)
    renewed = {one["unit"]: one for one in printed["clients"]}
    assert renewed.keys() == before.keys()
    unit = max(renewed)
    async with signed_in(there, renewed[unit]):
        pass
    assert await _token(there, before[unit]) == 401


def test_a_file_without_the_district_or_with_wrong_rows_makes_nothing(there: Platform, tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    file.write_text("code,name,level,parent_code\n999901,测试区,district,\n999901001,,street,999901\n")
    wrong = there.linli("district", "add", "999901", "--divisions", str(file), check=False)
    assert (wrong.returncode, "name is empty" in wrong.stderr) == (1, True)
    none = there.linli("district", "add", "999902", "--divisions", str(file), check=False)
    assert "no street of 999902" in none.stderr


@dataclass
class Day:
    """What happens in the district while it is exported."""

    platform: Platform
    grid: str
    rated: list[str] = field(default_factory=list)
    papers: dict[str, bytes] = field(default_factory=dict)
    """Files of tickets, by their ids."""

    async def begin(self) -> None:
        """Put the worker into office, and wait until tickets can be given to him."""
        worker = self.platform.person("grid_worker", self.grid)
        async with self.platform.database("tickets") as database:

            async def known() -> bool:
                return bool(await database.fetchval("SELECT count(*) FROM known_assignment WHERE staff = $1", worker))

            await eventually(known)

    async def ticket(self) -> None:
        """Report, assign, resolve, close and rate: points and six messages follow."""
        async with (
            self.platform.client("resident", DISTRICT) as resident,
            self.platform.client("community_manager", COMMUNITY) as manager,
            self.platform.client("grid_worker", self.grid) as worker,
        ):
            body = {"unit": self.grid, "title": "路灯不亮", "description": "三号楼前", "category": "public_facility"}
            answer = await resident.post("/tickets/v1/tickets", json=body)
            assert answer.status_code == 201, answer.text
            ticket = answer.json()["id"]
            paper = b"%PDF-1.7\n" + os.urandom(1000) + b"\n%%EOF\n"
            file = await resident.post(f"/tickets/v1/tickets/{ticket}/files", content=paper)
            assert file.status_code == 201, file.text
            self.papers[file.json()["id"]] = paper
            moves: list[tuple[str, httpx.AsyncClient, dict[str, Any]]] = [
                ("assign", manager, {"assignee": self.platform.person("grid_worker", self.grid)}),
                ("resolve", worker, {"note": "已修好"}),
                ("close", resident, {}),
                ("rate", resident, {"rating": 5}),
            ]
            for move, who, said in moves:
                path = f"/tickets/v1/tickets/{ticket}/{move}"
                answer = await who.post(path, json=said, headers={"If-Match": answer.headers["ETag"]})
                assert answer.is_success, answer.text
            self.rated.append(ticket)


@dataclass(frozen=True)
class Exported:
    """An export, and what was known when it was made."""

    file: Path
    key: Path
    person: dict[str, str]
    before: list[str]
    """Tickets that were rated when it began."""
    papers: dict[str, bytes]
    """Files of tickets that were there then, by their ids."""


@pytest.fixture(scope="module")
async def exported(here: Platform, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Export a district in which somebody works, while one of its services hears nothing."""
    folder = tmp_path_factory.mktemp("district")
    here.linli("district", "add", NEIGHBOUR)
    here.linli("district", "add", DISTRICT)
    here.linli("seed", "--unit", COMMUNITY, *SEED)
    key = folder / "key.txt"
    recipient = here.linli("district", "key", str(key)).stdout.strip()
    async with here.client("district_admin", DISTRICT) as admin:
        units = (await admin.get("/directory/v1/units", params={"within": COMMUNITY, "kind": "grid"})).json()["items"]
        found = (await admin.get("/residents/v1/residents", params={"within": COMMUNITY, "limit": 200})).json()["items"]
        someone = next(one for one in found if one["phone"])
        path = f"/residents/v1/residents/{someone['id']}/reveal"
        shown = (await admin.post(path, json={"fields": ["phone"], "purpose": "测试"})).json()
        centre = {"unit": COMMUNITY, "name": "邻里中心", "address": "崇安社区"}
        assert (await admin.post("/bookings/v1/centres", json=centre)).status_code == 201
    day = Day(here, units[0]["code"])
    await day.begin()
    await day.ticket()
    file = folder / f"{DISTRICT}.age"
    deaf = processes(here, "points", "notifications")
    for process in deaf.values():
        process.send_signal(signal.SIGSTOP)
    try:
        await day.ticket()
        before, papers = list(day.rated), dict(day.papers)
        working = asyncio.create_task(_work(day))
        arguments = ("district", "export", DISTRICT, "-o", str(file), "--recipient", recipient)
        await asyncio.to_thread(here.linli, *arguments)
        working.cancel()
    finally:
        for process in deaf.values():
            process.send_signal(signal.SIGCONT)
    assert len(day.rated) >= len(before)
    return Exported(file, key, {"id": someone["id"], "phone": shown["phone"]}, before, papers)


async def _work(day: Day) -> None:
    while True:
        await day.ticket()


async def test_an_archive_is_taken_in_by_another_platform_whole(
    here: Platform, there: Platform, exported: Exported
) -> None:
    assert (here.home / "secrets" / "master_key").read_text() != (there.home / "secrets" / "master_key").read_text()
    arguments = ("district", "import", str(exported.file), "--identity-file", str(exported.key))
    # The first attempt fails in the middle: what came before stays, of tickets there is nothing.
    async with there.database("tickets") as database:
        await database.execute("ALTER TABLE ticket ADD CONSTRAINT refuse CHECK (false) NOT VALID")
        failed = there.linli(*arguments, check=False)
        await database.execute("ALTER TABLE ticket DROP CONSTRAINT refuse")
        assert failed.returncode == 1
        assert await database.fetchval("SELECT count(*) FROM known_unit WHERE district = $1", int(DISTRICT)) == 0
    there.linli(*arguments)
    _files_are_there(there, exported)
    await _people_are_found(here, there, exported)
    await _nothing_is_lost_or_doubled(there, exported)
    await _work_goes_on(here, there)
    assert "is here already" not in there.linli(*arguments).stderr  # the same archive again changes nothing


def _files_are_there(platform: Platform, exported: Exported) -> None:
    assert exported.papers
    found = {file.name: file.read_bytes() for file in (platform.home / "files" / DISTRICT).glob("*/*")}
    assert exported.papers.items() <= found.items()


async def _people_are_found(here: Platform, there: Platform, exported: Exported) -> None:
    admin = secrets_of(here, DISTRICT)[DISTRICT]
    async with signed_in(there, admin) as client:
        search = {"phone": exported.person["phone"]}
        answer = await client.post("/residents/v1/residents/search", json=search)
        assert [one["id"] for one in answer.json()["items"]] == [exported.person["id"]]
        path = f"/residents/v1/residents/{exported.person['id']}/reveal"
        shown = (await client.post(path, json={"fields": ["phone"], "purpose": "测试"})).json()
        assert shown["phone"] == exported.person["phone"]
    async with there.database("residents") as database:
        chain = "SELECT previous = lag(hash) OVER (ORDER BY sequence) FROM audit WHERE district = $1 ORDER BY sequence"
        links = [row[0] for row in await database.fetch(chain, int(DISTRICT))]
        assert len(links) >= 3
        assert links[1:] == [True] * (len(links) - 1)
    states = await messages(there, DISTRICT)
    async with there.database("directory") as database:
        count = "SELECT (SELECT count(*) FROM {} WHERE district = $1)"
        tables = ("unit", "building", "assignment")
        assert states >= sum([await database.fetchval(count.format(table), int(DISTRICT)) for table in tables])


async def _nothing_is_lost_or_doubled(there: Platform, exported: Exported) -> None:
    """What had had no effect when it was exported has it here, once."""
    async with there.database("tickets") as tickets:
        moves = "SELECT move, count(*) FROM ticket_entry WHERE district = $1 GROUP BY 1"
        steps = dict(await tickets.fetch(moves, int(DISTRICT)))
        rated = [str(row[0]) for row in await tickets.fetch("SELECT id FROM ticket WHERE rating = 5")]
        assert set(exported.before) <= set(rated)
    told = Counter({f"ticket_{step}": steps[move] for move, step in _STEPS.items()})
    told["ticket_assigned_to_you"] = steps["assign"]
    told["points_awarded"] = steps["rate"]
    async with there.database("points") as points, there.database("notifications") as notifications:

        async def arrived() -> bool:
            kinds = "SELECT kind, count(*) FROM notification WHERE district = $1 GROUP BY 1"
            return Counter(dict(await notifications.fetch(kinds, int(DISTRICT)))) == told

        await eventually(arrived)
        transfers = await points.fetch("SELECT cause FROM transfer WHERE district = $1", int(DISTRICT))
        assert sorted(str(row[0]) for row in transfers) == sorted(rated)
        assert await points.fetchval("SELECT sum(balance) FROM account WHERE district = $1", int(DISTRICT)) == 0


_STEPS = {"open": "opened", "assign": "assigned", "resolve": "resolved", "close": "closed", "rate": "rated"}


async def _work_goes_on(here: Platform, there: Platform) -> None:
    street = secrets_of(here, DISTRICT)[DISTRICT + "001"]
    async with signed_in(there, street) as app, there.database("notifications") as notifications:
        body = {"unit": COMMUNITY, "title": "新工单", "description": "迁移之后", "category": "public_facility"}
        answer = await app.post("/tickets/v1/tickets", json=body)
        assert answer.status_code == 201, answer.text
        query = "SELECT count(*) FROM notification WHERE subject = $1"

        async def told() -> bool:
            return bool(await notifications.fetchval(query, answer.json()["id"]) == 1)

        await eventually(told)


async def test_what_does_not_fit_is_refused(
    here: Platform, there: Platform, exported: Exported, tmp_path: Path
) -> None:
    def refused(where: Platform, file: Path, key: Path = exported.key) -> str:
        done = where.linli("district", "import", str(file), "--identity-file", str(key), check=False)
        assert done.returncode == 1
        return " ".join(done.stderr.split())

    assert f"District {DISTRICT} is here already" in refused(here, exported.file)
    stranger = tmp_path / "stranger.txt"
    here.linli("district", "key", str(stranger))
    assert "This key does not open the archive" in refused(there, exported.file, stranger)
    content = exported.file.read_bytes()
    flipped = content[:3000] + bytes([content[3000] ^ 1]) + content[3001:]
    for name, damaged in (("cut", content[:-100]), ("flipped", flipped)):
        (tmp_path / name).write_bytes(damaged)
        assert "damaged" in refused(there, tmp_path / name)
    async with there.database("points") as database:
        revision = await database.fetchval("UPDATE alembic_version SET version_num = version_num || 'x' RETURNING 1")
        assert revision
        said = refused(there, exported.file)
        await database.execute("UPDATE alembic_version SET version_num = rtrim(version_num, 'x')")
    assert "other revisions than this platform's: points: " in said


async def test_a_removed_district_leaves_nothing_and_the_others_as_they_were(
    here: Platform, exported: Exported
) -> None:
    stale = ("district", "remove", DISTRICT, "--yes", DISTRICT, "--no-wait", "--export", str(exported.file))
    done = here.linli(*stale, "--identity-file", str(exported.key), check=False)
    assert "changed since" in " ".join(done.stderr.split())
    assert "tickets.ticket" in done.stderr
    unnamed = here.linli("district", "remove", DISTRICT, "--yes", DISTRICT, check=False)
    assert "--without-export" in unnamed.stderr
    assert sum(count for count, _ in (await rows(here, DISTRICT)).values()) > 100
    assert await messages(here, DISTRICT) > 100
    others = await rows(here, DISTRICT, without=True)
    neighbours = here.home / "files" / NEIGHBOUR / "0a" / "0198c1de-0000-7000-8000-00000000000a"
    neighbours.parent.mkdir(parents=True)
    neighbours.touch()
    _files_are_there(here, exported)

    done = here.linli("district", "remove", DISTRICT, "--yes", DISTRICT, "--no-wait", "--without-export")
    assert "is removed" in done.stderr
    assert {key: count for key, (count, _) in (await rows(here, DISTRICT)).items() if count} == {}
    assert await messages(here, DISTRICT) == 0
    assert [file for file in (here.home / "files").rglob("*") if file.is_file()] == [neighbours]
    assert re.search(r"LINLI_FILES[^\n]* 0 ", done.stdout)
    assert sum(count for count, _ in others.values()) > 100
    assert _lasting(await rows(here, DISTRICT, without=True)) == _lasting(others)
    assert await _token(here, secrets_of(here, DISTRICT)[DISTRICT]) == 401


async def test_it_comes_back_to_where_it_was_removed_a_moment_ago(here: Platform, exported: Exported) -> None:
    # The broker has seen the same events within two minutes, and drops what it has seen.
    here.linli("district", "import", str(exported.file), "--identity-file", str(exported.key))
    _files_are_there(here, exported)
    await _nothing_is_lost_or_doubled(here, exported)
    assert await _token(here, secrets_of(here, DISTRICT)[DISTRICT]) == 200


def _lasting(found: dict[tuple[str, str], tuple[int, str]]) -> dict[tuple[str, str], tuple[int, str]]:
    passing = {"outbox", "event_log", "inbox", "idempotency_key", "spent_token"}
    return {key: value for key, value in found.items() if key[1] not in passing}


async def _token(platform: Platform, client: dict[str, str]) -> int:
    async with httpx.AsyncClient(base_url=platform.url, trust_env=False) as http:
        form = {"grant_type": "client_credentials"} | {name: client[name] for name in ("client_id", "client_secret")}
        return (await http.post("/directory/oauth/token", data=form)).status_code


def test_an_unchanged_district_is_removed_against_its_export(there: Platform, tmp_path: Path) -> None:
    there.linli("district", "add", XUHUI)
    words = tmp_path / "words"
    words.write_text(f"{uuid4()}\n")
    archive = tmp_path / "out.age"
    with archive.open("wb") as target:
        arguments = ("district", "export", XUHUI, "-o", "-", "--passphrase-file", str(words))
        subprocess.run([LINLI, *arguments], stdout=target, env=there.environment, check=True, timeout=120)
    opens = ("--export", str(archive), "--passphrase-file", str(words))
    mistyped = there.linli("district", "remove", XUHUI, "--yes", "310105", *opens, check=False)
    assert "nothing was removed" in mistyped.stderr
    done = there.linli("district", "remove", XUHUI, "--yes", XUHUI, "--no-wait", *opens)
    assert f"{XUHUI} is removed" in done.stderr
