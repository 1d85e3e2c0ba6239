"""A platform at work is destroyed, its secrets and streams with it, and restored to a time from its backups alone.

Everything that was acknowledged before that time must be there, nothing that was begun after it, and what follows from
it: each ticket's notifications and points once, a ledger that balances, audit chains that hold, every photo.
"""

import asyncio
import contextlib
import io
import json
import os
import random
import re
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image
from tests.integration.conftest import LINLI, Platform

from linli.testing import eventually

pytestmark = [pytest.mark.xdist_group("drill"), pytest.mark.timeout(300)]

STREET, COMMUNITY, GRID = "310104003", "310104003001", "310104003001001"
SEED = ("--unit", STREET, "--households", "40", "--grids", "21", "--micro-grids", "21", "--special-grids", "0")
with io.BytesIO() as _picture:
    Image.new("RGB", (640, 480), "red").save(_picture, "JPEG")
    PHOTO = _picture.getvalue()
STEPS = ("assign", "resolve", "close", "rate")


@dataclass
class Log:
    """What was asked of the platform, and when it said that it was done."""

    begun: dict[tuple[str, str], float] = field(default_factory=dict)
    done: dict[tuple[str, str], float] = field(default_factory=dict)
    papers: dict[str, bytes] = field(default_factory=dict)
    """The files' content by their addresses."""

    async def write(self, caller: httpx.AsyncClient, kind: str, path: str, body: dict[str, Any], of: str = "") -> str:
        """Change something, and note it under the id of what it is about."""
        began = time.time()
        answer = (await caller.post(path, json=body, headers={"If-Match": "*"})).raise_for_status()
        now = time.time()
        found = of or str(answer.json()["id"])
        self.begun[kind, found] = began
        self.done[kind, found] = now
        return found

    async def attach(self, caller: httpx.AsyncClient, ticket: str) -> None:
        """Add a photo and a paper to a ticket."""
        for content in (PHOTO, b"%PDF-1.7\n" + os.urandom(20_000) + b"\n%%EOF\n"):
            began = time.time()
            answer = (await caller.post(f"/tickets/v1/tickets/{ticket}/files", content=content)).raise_for_status()
            now = time.time()
            fact = "file", str(answer.json()["id"])
            self.begun[fact], self.done[fact] = began, now
            self.papers[answer.headers["Location"]] = b"" if content is PHOTO else content

    def before(self, point: float) -> set[tuple[str, str]]:
        return {fact for fact, at in self.done.items() if at <= point}

    def files_since(self, point: float) -> set[tuple[str, str]]:
        return {fact for fact, at in self.done.items() if at > point and fact[0] == "file"}

    def after(self, point: float) -> set[tuple[str, str]]:
        return {fact for fact, at in self.begun.items() if at > point}


def _port() -> int:
    for base in random.sample(range(29_020, 29_870, 30), 28):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for offset in range(25):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", base + offset))
            return base
    raise RuntimeError("no free range of ports")


@pytest.fixture
def platform() -> Iterator[Platform]:
    home = Path(tempfile.mkdtemp(prefix="linli-drill-"))
    home.chmod(0o711)
    port = _port()
    found = Platform(f"http://127.0.0.1:{port}", home, port)
    try:
        found.linli("up", "--empty", timeout=200)
        found.linli("import", "divisions")
        found.linli("seed", *SEED)
        yield found
    finally:
        found.linli("down", check=False)
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def load(platform: Platform, log: Log) -> AsyncIterator[None]:
    """Have people report, mend and rate, register each other and look each other up, until the block ends."""

    async def lives() -> None:
        number = 0
        while True:
            number += 1
            report = {"unit": GRID, "title": "路灯不亮", "description": "三天不亮"}
            ticket = await log.write(resident, "open", "/tickets/v1/tickets", report)
            await log.attach(resident, ticket)
            bodies: dict[str, dict[str, Any]] = {"assign": {"assignee": me}, "rate": {"rating": 5}}
            for step in STEPS:
                caller = manager if step in {"assign", "resolve"} else resident
                path = f"/tickets/v1/tickets/{ticket}/{step}"
                await log.write(caller, step, path, bodies.get(step, {}), ticket)
            person = {"household": household, "name": "赵钱孙", "gender": "female", "born_on": "1949-01-01"}
            found = await log.write(manager, "register", "/residents/v1/residents", person)
            if number % 6 == 1:  # nobody may look too often
                why = {"fields": ["phone"], "purpose": "走访"}
                await log.write(manager, "reveal", f"/residents/v1/residents/{found}/reveal", why, found)

    async def until_it_ends() -> None:
        try:
            await lives()
        except httpx.TransportError:
            return
        except httpx.HTTPStatusError as error:
            if not error.response.is_server_error:
                raise

    async with (
        platform.client("resident", STREET) as resident,
        platform.client("community_manager", COMMUNITY) as manager,
    ):
        me = platform.person("community_manager", COMMUNITY)
        buildings = (await manager.get("/directory/v1/buildings", params={"limit": 1})).json()["items"]
        home = {"building": buildings[0]["id"], "door": "演练"}
        household = (await manager.post("/residents/v1/households", json=home)).raise_for_status().json()["id"]
        people = [asyncio.create_task(until_it_ends()) for _ in range(3)]
        try:
            yield
        finally:
            await asyncio.wait_for(asyncio.gather(*people), 60)


async def test_nothing_acknowledged_before_the_point_is_missing(platform: Platform, tmp_path: Path) -> None:
    place, key = tmp_path / "backups", tmp_path / "key"
    recipient = platform.linli("backup", "key", str(key)).stdout.strip()
    to = ("--to", str(place), "--recipient", recipient)
    log = Log()
    command = (str(LINLI), "backup", "wal", *to, "--every", "1")
    keeper = await asyncio.create_subprocess_exec(*command, env=platform.environment)
    try:
        async with load(platform, log):
            await eventually(lambda: len(log.done) > 20, within=60)
            await asyncio.to_thread(platform.linli, "backup", *to)
            taken = time.time()
            # Else the log would have none to take along.
            await eventually(lambda: len(log.files_since(taken)) > 20, within=60)
            point = time.time()
            await eventually(lambda: log.after(point), within=60)  # else nothing would end there
            await kept_until(place, time.time())
            destroy(platform)
    finally:
        keeper.terminate()
        await asyncio.wait_for(keeper.wait(), 60)

    at = datetime.fromtimestamp(point, UTC).isoformat()
    source = (str(place), "--identity-file", str(key), "--at", at)
    said = await asyncio.to_thread(platform.linli, "restore", *source)
    assert "✗" not in said.stdout
    assert "accounts balance" in said.stdout
    assert "hold" in said.stdout
    assert re.search(r"files 附件 +\d+ are there", said.stdout)
    await asyncio.to_thread(platform.linli, "up", timeout=200)

    there = await facts(platform)
    assert log.before(point) <= there
    assert not there & log.after(point)
    platform._tokens.clear()
    await files_are_as_they_were(platform, log, there)
    await eventually_complete(platform, there)
    platform.linli("demo", "--tickets", "2", "--seed", "7")
    platform.linli("audit", "verify")
    copy = platform.linli("backup", *to, check=False)
    assert copy.returncode == 1
    assert "another copy of this database is being kept, on timeline 1; this one is on 2" in copy.stderr.replace(
        "\n", " "
    )
    again = platform.linli("restore", *source, check=False)
    assert again.returncode == 1
    assert "stop it first" in again.stderr


async def kept_until(place: Path, until: float) -> None:
    """Wait until the log of that time is where the backups are."""
    deadline = time.monotonic() + 60
    while kept(place) < until:
        assert time.monotonic() < deadline, "the log was not kept"
        await asyncio.sleep(0.2)


def kept(place: Path) -> float:
    times = [json.loads(file.read_text())["until"] for file in place.glob("wal/*/reached.json")]
    return max((datetime.fromisoformat(one).timestamp() for one in times), default=0)


def destroy(platform: Platform) -> None:
    """Kill every process at once, and delete all that the platform has: databases, streams, secrets."""
    supervisor = psutil.Process(int((platform.home / "run" / "supervisord.pid").read_text()))
    supervisor.kill()
    while mine := list(belonging(platform)):  # the database may have begun another one meanwhile
        for process in mine:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(mine, timeout=20)
    for path in platform.home.iterdir():
        shutil.rmtree(path)


def belonging(platform: Platform) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("LINLI_STACK") == str(platform.home):
                yield process


async def facts(platform: Platform) -> set[tuple[str, str]]:
    """List what the databases hold, in the log's words."""
    found: set[tuple[str, str]] = set()
    for service, query in (
        ("tickets", "SELECT move, ticket_id::text FROM ticket_entry"),
        ("tickets", "SELECT 'file', id::text FROM ticket_file"),
        ("residents", "SELECT 'register', id::text FROM resident"),
        ("residents", "SELECT 'reveal', subject::text FROM audit, unnest(subjects) subject WHERE action ~ 'reveal'"),
    ):
        async with platform.database(service) as database:
            found |= {(str(row[0]), str(row[1])) for row in await database.fetch(query)}
    return found


async def files_are_as_they_were(platform: Platform, log: Log, there: set[tuple[str, str]]) -> None:
    """Read every file that is there, as people do."""
    async with platform.client("resident", STREET) as resident:
        for path, content in log.papers.items():
            if ("file", path.rpartition("/")[2]) not in there:
                continue
            answer = (await resident.get(path)).raise_for_status()
            if content:
                assert answer.content == content
            else:
                small = (await resident.get(f"{path}/thumbnail")).raise_for_status()
                assert answer.content[:3] == b"\xff\xd8\xff", "a JPEG"
                assert small.content[:4] == b"RIFF", "a WebP"


async def eventually_complete(platform: Platform, there: set[tuple[str, str]]) -> None:
    """Wait until each move was told, and each rating paid: once."""
    moves = Counter(kind for kind, _ in there)
    wanted = {
        "ticket_opened": moves["open"],
        "ticket_assigned": moves["assign"],
        "ticket_assigned_to_you": moves["assign"],
        "ticket_resolved": moves["resolve"],
        "ticket_closed": moves["close"],
        "ticket_rated": moves["rate"],
        "points_awarded": moves["rate"],
        "paid": moves["rate"],
    }
    wanted = {kind: times for kind, times in wanted.items() if times}
    deadline, found = time.monotonic() + 90, {}
    while time.monotonic() < deadline:
        async with platform.database("notifications") as database:
            rows = await database.fetch("SELECT kind, count(*) FROM notification GROUP BY 1")
        async with platform.database("points") as database:
            paid = await database.fetchval("SELECT count(*) FROM transfer")
        found = {row[0]: row[1] for row in rows} | ({"paid": paid} if paid else {})
        if found == wanted:
            return
        await asyncio.sleep(0.3)
    assert found == wanted
