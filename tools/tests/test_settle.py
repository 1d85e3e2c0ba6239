"""A platform whose database was restored by hand, as in containers, and is settled by the command a person types."""

import asyncio
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.tests.conftest import Linli, within

from linli_cli.archive.stores import connected
from linli_cli.home import Home
from linli_cli.stack import database, ready
from linli_cli.stack.programs import configure
from linli_cli.stack.supervisor import BIN, Supervisor

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("settle")]

STREET, COMMUNITY = "310104003", "310104003001"
UNITS = """\
code,name,level,parent_code
310104,徐汇区,district,
310104003,天平路街道,street,310104
310104003001,上海新村居委会,community,310104003
"""
PAPER = b"%PDF-1.7\n" + os.urandom(20_000) + b"\n%%EOF\n"
# A ticket was opened and got a file.
UNHEARD = re.compile(r"events told again 重新发布的事件 .*\btickets 2\b")


@pytest.fixture(scope="module")
def resident(linli: Linli, shared_home: Home) -> Iterator[httpx.Client]:
    """A resident of a street whose units are known."""
    file = shared_home.root / "units.csv"
    file.write_text(UNITS)
    linli("import", "divisions", str(file))
    within(lambda: count(shared_home, "known_unit") == UNITS.count("\n") - 1)
    token = linli("token", "--role", "resident", "--unit", STREET).stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=shared_home.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def told(resident: httpx.Client) -> list[str]:
    """Give the kinds of what the resident was told."""
    return [one["kind"] for one in resident.get("/notifications/v1/inbox").raise_for_status().json()["items"]]


def count(home: Home, table: str) -> int:
    """Count the rows that tickets has in a table."""

    async def count() -> int:
        async with connected(database.superuser_url(home, "tickets")) as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 one of two

    return asyncio.run(count())


def destroy(home: Home) -> None:
    for folder in (home.data, home.files, home.secrets):
        shutil.rmtree(folder)
    home.create()


def lay(home: Home, backup: str, identity: Path) -> None:
    """Restore the database server's folder by hand, and start it and an empty broker alone."""
    folder = home.data / "postgres"
    folder.mkdir(mode=0o700)
    with subprocess.Popen(
        [BIN / "linli", "restore", backup, "--identity-file", identity, "--tar"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            tar.extractall(folder, filter="fully_trusted")  # noqa: S202 our own
    assert process.returncode == 0
    database.hand_over(folder)
    supervisor = Supervisor(home)
    supervisor.start(configure(home))
    supervisor.begin("postgres", "nats")
    asyncio.run(ready.nats(home, supervisor))


def test_what_was_restored_by_hand_is_settled(
    linli: Linli, resident: httpx.Client, shared_home: Home, tmp_path: Path
) -> None:
    place, identity = tmp_path / "backups", tmp_path / "key"
    recipient = linli("backup", "key", str(identity)).stdout.strip()
    Supervisor(shared_home)._order("stopProcess", "services:notifications")
    report = {"unit": COMMUNITY, "title": "路灯不亮", "description": "三天不亮"}
    ticket = resident.post("/tickets/v1/tickets", json=report).raise_for_status().headers["Location"]
    paper = resident.post(f"{ticket}/files", content=PAPER).raise_for_status().headers["Location"]
    within(lambda: count(shared_home, "outbox") == 0)
    linli("backup", "--to", str(place), "--recipient", recipient)
    [name] = [one.stem for one in (place / "base").glob("*.age")]

    said = linli("settle", code=1).stderr
    assert "The broker still holds" in said, "it is at work"
    linli("down")
    destroy(shared_home)
    linli("restore", str(place), "--identity-file", str(identity), "--secrets-to", str(shared_home.secrets))
    lay(shared_home, f"{place}/base/{name}.age", identity)

    without_files = linli("settle", code=1)
    assert re.search(r"✗ +files 附件 +1 of 1 are missing", without_files.stdout)
    assert UNHEARD.search(without_files.stdout)
    done = linli("settle", "--of", name, "--to", str(place), "--identity-file", str(identity)).stdout
    assert "✗" not in done
    assert "as when it was taken" in done
    assert re.search(r"files 附件 +1 are there", done)

    linli("up", "--empty")
    assert resident.get(paper).raise_for_status().content == PAPER
    within(lambda: told(resident), 60, every=0.2)
    assert told(resident) == ["ticket_opened"], "once, however often it was settled"
